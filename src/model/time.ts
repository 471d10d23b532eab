/** Milliseconds since the Unix epoch. */
export type EpochMs = number;

export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** A moment as the JSON output and the logs write it: RFC 3339 in UTC, whole seconds unless there are more. */
export function rfc3339(at: EpochMs): string {
  return new Date(at).toISOString().replace(".000Z", "Z");
}
