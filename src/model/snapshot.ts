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

/** Whether a snapshot is ours. Only a name that is a real date and time counts: all else is somebody else's. */
export function isOwnSnapshotName(name: string): boolean {
  const digits = OWN_NAME.exec(name)?.slice(1).map(Number);
  if (digits === undefined) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = digits;
  const at = Date.UTC(year, month - 1, day, hour, minute, second);
  return snapshotName(at) === name;
}
