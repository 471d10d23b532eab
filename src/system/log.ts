import { pino, stdTimeFunctions } from "pino";
import { AgentError } from "../model/errors.ts";
import type { Log, LogFacts } from "../model/ports.ts";
import type { WriteLine } from "./console.ts";
import { prettyLine } from "./pretty-line.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export type LogSettings = {
  readonly level: LogLevel;
  /** For people, or one JSON object a line. */
  readonly pretty: boolean;
  readonly colour: boolean;
};

/** The log: a line for every event, at once. */
export function openLog(settings: LogSettings, writeLine: WriteLine): Log {
  const write = settings.pretty
    ? (line: string) => writeLine(prettyLine(line, { colour: settings.colour }))
    : (line: string) => writeLine(line);
  const logger = pino(
    {
      level: settings.level,
      base: null,
      messageKey: "event",
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: (error: unknown) => errorFacts(error, settings.level === "debug") },
    },
    { write },
  );
  const at =
    (level: LogLevel) =>
    (event: string, facts: LogFacts = {}) =>
      logger[level](facts, event);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

// A stack helps who looks for a bug, and nobody else.
function errorFacts(error: unknown, withStack: boolean): unknown {
  if (!(error instanceof Error)) return error;
  return {
    ...(error instanceof AgentError ? { code: error.code } : { type: error.name }),
    message: error.message,
    ...(error instanceof AgentError && error.hint !== undefined ? { hint: error.hint } : {}),
    ...(withStack ? { stack: error.stack } : {}),
    ...(withStack && error.cause !== undefined ? { cause: errorFacts(error.cause, withStack) } : {}),
  };
}
