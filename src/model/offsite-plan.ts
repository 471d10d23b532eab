import type { Maintained } from "./archive.ts";
import type { StepId, WarningCode } from "./plan.ts";
import type { ReadingPlace, ReadingRun, Subject } from "./reading.ts";
import type { EpochMs } from "./time.ts";
import type { InstanceUnit } from "./unit.ts";

type CommonStep = {
  readonly id: StepId;
  /** The steps that must be done before: if one is not, this one is skipped. */
  readonly needs: readonly StepId[];
};

/** Starts an instance again that an earlier run stopped for its reading and did not live to start. */
export type RestartStep = CommonStep & {
  readonly kind: "restart";
  readonly unit: InstanceUnit;
  readonly place: ReadingPlace;
};

/** Removes what runs that died have left in a place. */
export type SweepStep = CommonStep & { readonly kind: "sweep"; readonly place: ReadingPlace };

/** Holds everything that is read in one place as it is at one moment. */
export type HoldStep = CommonStep & {
  readonly kind: "hold";
  readonly place: ReadingPlace;
  readonly subjects: readonly Subject[];
  /** Running instances that are stopped for that moment, and started again at once. */
  readonly stop: readonly InstanceUnit[];
};

/** Puts all parts of one subject into the archive, its description last: what has one is whole. */
export type BackUpStep = CommonStep & {
  readonly kind: "back-up";
  readonly place: ReadingPlace;
  readonly subject: Subject;
  /** Where it is in the archive; each part is below. The same for ever, whatever it is read by. */
  readonly path: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
};

/** Gives up what was held in a place, however the reading went. */
export type ReleaseStep = CommonStep & { readonly kind: "release"; readonly place: ReadingPlace };

/** Removes the backups that the archive's policy keeps no longer. */
export type RetentionStep = CommonStep & { readonly kind: "retention" };

/** Frees what no backup needs any more, where that is this host's duty. */
export type MaintenanceStep = CommonStep & { readonly kind: "maintenance" };

export type OffsiteStep =
  | RestartStep
  | SweepStep
  | HoldStep
  | BackUpStep
  | ReleaseStep
  | RetentionStep
  | MaintenanceStep;

/** Something that was named and is not backed up, and why; `failed` when the run cannot be called whole without it. */
export type OffsiteSkipped = {
  /** The subject's id, or the pool or pattern as the configuration has it. */
  readonly what: string;
  readonly why: string;
  readonly failed: boolean;
  readonly hint?: string;
};

export type OffsiteWarning = {
  readonly code: WarningCode;
  /** The subject's id; undefined where it is about none. */
  readonly what: string | undefined;
  readonly text: string;
};

/** All that an offsite run will do, decided at once. */
export type OffsitePlan = {
  readonly run: ReadingRun;
  readonly at: EpochMs;
  readonly steps: readonly OffsiteStep[];
  readonly skipped: readonly OffsiteSkipped[];
  readonly warnings: readonly OffsiteWarning[];
};

/** How far a part is on its way into the archive. */
export type PartProgress = {
  readonly part: string;
  /** Undefined where nobody knows how much there is. */
  readonly percent: number | undefined;
  /** Of a stream: what was read of it. */
  readonly bytes: number | undefined;
};

/** A part that is in the archive. */
export type StoredPart = { readonly part: string; readonly backup: string; readonly sizeBytes: number };

/** What became of a step. */
export type OffsiteOutcome =
  | {
      readonly state: "done";
      /** Of a back-up: what is in the archive now. */
      readonly parts?: readonly StoredPart[];
      /** Of a sweep or of the retention: what was removed. */
      readonly removed?: readonly string[];
      readonly maintained?: Maintained;
    }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "skipped"; readonly because: string }
  | { readonly state: "cancelled" };

export type OffsiteOutcomes = ReadonlyMap<StepId, OffsiteOutcome>;

/** An offsite run that has ended: what was to be done and what became of it. */
export type OffsiteReport = {
  readonly plan: OffsitePlan;
  readonly outcomes: OffsiteOutcomes;
  readonly startedAt: EpochMs;
  readonly endedAt: EpochMs;
  readonly exitCode: number;
  /** What ended the run before its end: the maintenance window that closed, or a signal. Null where nothing did. */
  readonly ended: "window" | "signal" | null;
  /** Where a window ended it: what has had no whole backup for too long. */
  readonly overdue: readonly BackUpStep[];
};
