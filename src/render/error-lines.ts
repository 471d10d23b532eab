import { AgentError } from "../model/errors.ts";

/** An error for people: what was wrong, and what to do about it. */
export function errorLines(error: unknown): readonly [string, ...string[]] {
  if (!(error instanceof AgentError)) {
    return [`This is a bug in iab: ${error instanceof Error ? error.message : String(error)}`];
  }
  return error.hint === undefined ? [error.message] : [error.message, error.hint];
}
