import { z } from "zod";
import type { EpochMs } from "../model/time.ts";

/** Go's zero time: how Incus writes "never". */
export const NEVER = "0001-01-01T00:00:00Z";

/** A moment as a server writes it. */
export const Moment = z.string().refine((text) => !Number.isNaN(Date.parse(text)), "no date");

/** In whole milliseconds, which is all that a number holds. */
export function epochMs(moment: string): EpochMs {
  return Date.parse(moment);
}

/** Undefined for null, and for Go's zero time. */
export function epochMsOrNever(moment: string | null | undefined): EpochMs | undefined {
  if (moment === null || moment === undefined) return undefined;
  const at = Date.parse(moment);
  return at > Date.parse(NEVER) ? at : undefined;
}

/** Orders moments down to the nanosecond: a fraction is as long as it needs to be, so it cannot be compared as text. */
export function compareMoments(a: string, b: string): number {
  return epochMs(a) - epochMs(b) || Number(nanoseconds(a) - nanoseconds(b));
}

function nanoseconds(moment: string): bigint {
  const [, fraction = ""] = /\.(\d+)/.exec(moment) ?? [];
  return BigInt(fraction.slice(0, 9).padEnd(9, "0"));
}
