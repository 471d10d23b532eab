import { styleText } from "node:util";
import { z } from "zod";

const Line = z.looseObject({ level: z.string(), time: z.string(), event: z.string() });

const LEVELS = {
  debug: { label: "debug", style: "gray" },
  info: { label: "info ", style: "cyan" },
  warn: { label: "warn ", style: "yellow" },
  error: { label: "error", style: "red" },
} as const;

/** A line of the log as people read it: time, level, event, and the facts as `key=value`. */
export function prettyLine(json: string, options: { readonly colour: boolean }): string {
  const { level, time, event, ...facts } = Line.parse(JSON.parse(json));
  const { label, style } = LEVELS[level as keyof typeof LEVELS] ?? LEVELS.info;
  const shown = options.colour ? styleText(style, label, { validateStream: false }) : label;
  const details = Object.entries(facts).map(([key, value]) => `${key}=${valueText(value)}`);
  return [time.slice(11, 19), shown, event, ...details].join(" ");
}

function valueText(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
