import { AgentError } from "../model/errors.ts";
import type { EpochMs } from "../model/time.ts";

const TIME = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/i;

/** A moment from the command line: RFC 3339, or a shorter form of it, which is UTC unless it says otherwise. */
export function parseTime(text: string, flag: string): EpochMs {
  const match = TIME.exec(text);
  const [, zone] = match ?? [];
  const whole = text.length > "2026-01-01".length && zone === undefined ? `${text}Z` : text;
  const at = match === null ? Number.NaN : Date.parse(whole.replace(" ", "T"));
  // Date.parse() takes the thirtieth of February for a day in March.
  const day = Date.parse(text.slice(0, 10));
  if (!Number.isNaN(at) && new Date(day).toISOString().startsWith(text.slice(0, 10))) return at;
  throw new AgentError("usage", `Cannot read ${flag} ${text}: expected a time such as 2026-07-15T12:30:00Z`);
}
