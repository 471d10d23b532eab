import type { EpochMs } from "./time.ts";

/** A snapshot as a server lists it, by its bare name. */
export type Snapshot = {
  readonly name: string;
  /** The server's `created_at`: what age is measured by. */
  readonly createdAt: EpochMs;
  /** The same moment as the server wrote it, down to the nanosecond. */
  readonly createdAtExact: string;
  /** When the server itself will delete it; undefined for never, or where the listing does not say. */
  readonly expiresAt: EpochMs | undefined;
  /** The bytes it holds; undefined where the listing does not say. */
  readonly sizeBytes: number | undefined;
};

const OWN_NAME = /^IAB_(\d{4})(\d{2})(\d{2})-(\d{2})(\d{2})(\d{2})$/;

/** The name that all snapshots of a run bear: the run's start in UTC. */
export function snapshotName(at: EpochMs): string {
  const [date = "", time = ""] = new Date(at).toISOString().split("T");
  return `IAB_${date.replaceAll("-", "")}-${time.slice(0, 8).replaceAll(":", "")}`;
}

/** The moment that a name of ours spells, in UTC; undefined for any other name. */
export function snapshotNameTime(name: string): EpochMs | undefined {
  const digits = OWN_NAME.exec(name);
  if (digits === null) return undefined;
  const [year, month, day] = [Number(digits[1]), Number(digits[2]), Number(digits[3])];
  const [hour, minute, second] = [Number(digits[4]), Number(digits[5]), Number(digits[6])];
  if (year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31;
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
}

/** Whether a snapshot is ours. Only a name that is a real date and time counts: all else is somebody else's. */
export function isOwnSnapshotName(name: string): boolean {
  return snapshotNameTime(name) !== undefined;
}
