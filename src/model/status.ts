import type { Side } from "./job.ts";
import type { EpochMs } from "./time.ts";
import type { Unit } from "./unit.ts";

/** A snapshot by name and age. */
export type Dated = { readonly name: string; readonly at: EpochMs };

/** What one side holds of a workload. */
export type SideStatus = {
  readonly newest: Dated | undefined;
  /** How many snapshots are ours, and how many somebody else's. */
  readonly own: number;
  readonly foreign: number;
  /** The bytes that its snapshots hold, where the server says so of each. */
  readonly sizeBytes: number | undefined;
};

/**
 * How it stands with a workload. `ok`: it has a proven copy and the next run can go on. `never`: it has none yet.
 * `blocked`: the next run will leave it out, as `why` says.
 */
export type WorkloadState = "ok" | "never" | "blocked";

export type WorkloadStatus = {
  readonly workload: Unit;
  readonly target: Unit | undefined;
  readonly state: WorkloadState;
  readonly why: string | undefined;
  readonly hint: string | undefined;
  /** Undefined where there is nothing at all. */
  readonly sides: Readonly<Record<Side, SideStatus | undefined>>;
  /** The newest snapshot that a run has proven to be on the target, and that is there still. */
  readonly proven: Dated | undefined;
  /** How much would be lost if the source were gone now: the age of the newest proven copy. */
  readonly lagMs: number | undefined;
};

/** How it stands with everything, at one moment. */
export type Status = {
  readonly at: EpochMs;
  readonly hosts: Readonly<Record<Side, string>>;
  readonly workloads: readonly WorkloadStatus[];
  /** What is on the source and in no configuration. */
  readonly uncovered: readonly Unit[];
  readonly warnings: readonly string[];
};
