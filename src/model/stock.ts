import type { Side } from "./job.ts";
import type { EpochMs } from "./time.ts";
import type { Unit } from "./unit.ts";

/** A snapshot of ours, and when it was taken. */
export type Taken = { readonly name: string; readonly at: EpochMs };

/** What there is of one workload on one side. */
export type StockRow = {
  /** The unit on the source. */
  readonly workload: Unit;
  readonly side: Side;
  readonly unit: Unit;
  /** Whether there is anything in its place. */
  readonly exists: boolean;
  /** Why nobody can tell what there is now: the member of the cluster that holds it does not answer. */
  readonly unknown: string | undefined;
  /** The newest snapshot of ours. */
  readonly newest: Taken | undefined;
  /** On the target: the newest snapshot that a run has proven, and that is still there. */
  readonly proven: Taken | undefined;
  /** How old the newest snapshot is; on the target, how old the newest proven copy. */
  readonly lagMs: number | undefined;
  /** On a target that keeps history: what the last run left there and is gone, oldest first. */
  readonly lost: readonly string[];
  /** Snapshots of ours, and of others, as far as they are known. */
  readonly own: number;
  readonly foreign: number;
  /** What the snapshots of ours hold, where it was asked for and the storage driver knows. */
  readonly sizeBytes: number | undefined;
};

/** Something on a server that the configuration says nothing of. */
export type Uncovered = { readonly side: Side; readonly unit: Unit; readonly why: string };

/** All workloads on both sides as they are at one moment. */
export type Stock = {
  readonly at: EpochMs;
  readonly rows: readonly StockRow[];
  readonly uncovered: readonly Uncovered[];
};
