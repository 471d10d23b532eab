import type { Copy, InstanceCopy, VolumeCopy } from "./copy.ts";
import type { Side } from "./job.ts";
import type { Verdict } from "./policy.ts";
import type { Config, Device, Devices, EmptyProfile } from "./state.ts";
import type { EpochMs } from "./time.ts";
import type { InstanceUnit, Unit } from "./unit.ts";

/** `<kind>:<unitId>`, with the side behind the kind where there are two: `prune-target:default/web1`. */
export type StepId = string;

type CommonStep = {
  readonly id: StepId;
  /** The steps that must be done before: if one is not, this one is skipped. */
  readonly needs: readonly StepId[];
  /** The unit on the source: what the user calls the workload. */
  readonly workload: Unit;
};

/** Starts an instance again that an earlier run stopped for its snapshot and did not live to start. */
export type RecoverStep = CommonStep & { readonly kind: "recover"; readonly unit: InstanceUnit };

/** Takes this run's snapshot on the source; `stop` stops the running instance for it and starts it at once again. */
export type SnapshotStep = CommonStep & {
  readonly kind: "snapshot";
  readonly unit: Unit;
  readonly name: string;
  readonly stop: boolean;
  /** Not before this moment: two snapshots within one second are one to a refresh. Undefined for at once. */
  readonly notBefore: EpochMs | undefined;
};

/** Finishes a reseed that died half-way: gives the proven fresh copy on the target the replica's name. */
export type RenameStep = CommonStep & { readonly kind: "rename"; readonly unit: Unit; readonly name: string };

/** Raises the size of the replica to that of its source, which has outgrown it. */
export type GrowStep = CommonStep & {
  readonly kind: "grow";
  readonly unit: Unit;
  /** Empty for no limit. */
  readonly size: string;
  /** Of an instance: its root disk as it is to be. */
  readonly devices: Devices;
};

/**
 * Takes over a replica that IAB 1.2.0 made: marks it as ours, and makes it safe. An empty value removes a key. One that is
 * ours already has no marks to get, and is only kept from being gone once it is stopped.
 */
export type AdoptStep = CommonStep & {
  readonly kind: "adopt";
  readonly unit: Unit;
  readonly marks: Config;
  /** It is ephemeral, and must not be. */
  readonly lasting: InstanceUnit | undefined;
};

/** Makes an empty profile on the target, for one that snapshots name there: without it no server receives them. */
export type StandInStep = CommonStep & { readonly kind: "stand-in"; readonly profile: EmptyProfile };

/** Removes snapshots of which the target keeps the volume alone, since a copy was cut off at its very end. */
export type MendStep = CommonStep & {
  readonly kind: "mend";
  /** A copy that is begun for this and comes to no data. */
  readonly copy: InstanceCopy;
  readonly names: readonly string[];
};

/** A device the replica is made without. */
export type DroppedDevice = { readonly name: string; readonly device: Device; readonly why: string };

/** Brings the target to the source's state and proves that the snapshots arrived. */
export type CopyStep = CommonStep & {
  readonly kind: "copy";
  readonly copy: Copy;
  /** The newest snapshot that both sides have: what the transfer builds on. Undefined for a first copy. */
  readonly base: string | undefined;
  /** The snapshots that will be sent, oldest first, this run's own last. */
  readonly sends: readonly string[];
  /** What the target must list afterwards, with the given `created_at` (to the second) where it is known already. */
  readonly proof: readonly string[];
  readonly dropped: readonly DroppedDevice[];
  /** What the refresh itself deletes on the target, and why; oldest first. */
  readonly vanishes: readonly Removal[];
  /** `user.iab.*` keys to set on the replica once the copy is proven. */
  readonly marks: Config;
};

/** Deletes snapshots of ours on one side, one after the other in the order of `removals`. */
export type PruneStep = CommonStep & {
  readonly kind: "prune";
  readonly unit: Unit;
  readonly side: Side;
  readonly removals: readonly Removal[];
  /** On the target in mirror mode: only those names are deleted that the source no longer lists by then. */
  readonly onlyIfGoneFrom: Unit | undefined;
  /** What the policy said of every snapshot of the unit on that side, for the plan's reader. */
  readonly verdicts: readonly Verdict[];
};

/** One snapshot to delete, and why no rule keeps it. */
export type Removal = { readonly name: string; readonly reasons: readonly string[] };

/** Makes a fresh copy beside a replica that cannot be refreshed, proves it, and only then replaces the old one. */
export type ReseedStep = CommonStep & {
  readonly kind: "reseed";
  /** What makes a fresh copy necessary. */
  readonly why: string;
  /** The transfer, whose target is the temporary name. */
  readonly copy: Copy;
  /** The replica that gives way. */
  readonly replaces: Unit;
  /** What the replica is called once it has given way. */
  readonly aside: string;
  /** It stays under that name, because it holds what the source has no more; else it is removed. */
  readonly keeps: boolean;
  readonly proof: readonly string[];
  readonly marks: Config;
};

/** One side of what is rehearsed. */
export type Stage = { readonly version: string; readonly driver: string };

/** Tries kept history on a scratch volume before anything of worth is trusted to it. Nothing of it stays on either side. */
export type RehearseStep = CommonStep & {
  readonly kind: "rehearse";
  readonly between: Readonly<Record<Side, Stage>>;
  /** The scratch volume's way to the target: both its ends are made for this and bear the mark. */
  readonly copy: VolumeCopy;
  /** The value of the mark: what bears it under this name is ours to remove. */
  readonly mark: string;
};

export type Step =
  | RehearseStep
  | RecoverStep
  | SnapshotStep
  | RenameStep
  | GrowStep
  | AdoptStep
  | StandInStep
  | MendStep
  | CopyStep
  | PruneStep
  | ReseedStep;

/** A workload, or a part of its work, that is left out, and why; `failed` when the run cannot be called whole without it. */
export type Skipped = {
  readonly workload: Unit;
  readonly why: string;
  readonly failed: boolean;
  readonly hint?: string;
};

/** What a warning is about, for scripts to tell apart. */
export type WarningCode =
  | "device.dropped"
  | "glob.empty"
  | "history.lost"
  | "instance.left-stopped"
  | "instance.not-stopped"
  | "member.differs"
  | "member.ignored"
  | "policy.unmet"
  | "policy.unused"
  | "pool.differs"
  | "profile.missing"
  | "rehearsal.leftover"
  | "reseed.leftover"
  | "snapshot.future"
  | "snapshot.unproven"
  | "snapshot.vanishes"
  | "restore.asked"
  | "update.pending"
  | "volume.left-out";

/** Something that a person should know; it stops nothing. */
export type Warning = { readonly code: WarningCode; readonly workload: Unit | undefined; readonly text: string };

/** All that a run will do, decided at once. */
export type Plan = {
  /** The name of this run's snapshots. */
  readonly run: string;
  readonly at: EpochMs;
  /** The names that the configuration gives the servers. */
  readonly hosts: Readonly<Record<Side, string>>;
  readonly steps: readonly Step[];
  readonly skipped: readonly Skipped[];
  readonly warnings: readonly Warning[];
};
