import type { Policy } from "./policy.ts";
import type { InstanceUnit, Unit, VolumeUnit } from "./unit.ts";

/** How the data travels: the source sends, the target fetches, or the agent stands between the two. */
export type Mode = "pull" | "push" | "relay";

/** `mirror`: the target holds what the source holds. `keep`: beyond that, what the target's own policy says. */
export type History = "mirror" | "keep";

export type Side = "source" | "target";
export const SIDES: readonly Side[] = ["source", "target"];

/** What to keep, on both sides. */
export type Policies = Readonly<Record<Side, Policy>>;

type CommonJob = {
  readonly mode: Mode;
  readonly history: History;
  readonly retention: Policies;
  /** Of a glob: the policies of the workloads that the configuration names apart, by name. They go before `retention`. */
  readonly retentionByName?: Readonly<Record<string, Policies>>;
  /** For a new replica in a cluster: the member, or `@group`. */
  readonly targetMember: string | undefined;
};

export type InstanceJob = CommonJob & {
  readonly kind: "instance";
  readonly source: InstanceUnit;
  readonly target: InstanceUnit;
  /** The target's pool for the root disk; undefined keeps the source's pool name. */
  readonly rootPool: string | undefined;
  readonly excludeDevices: readonly string[];
  /** Stop it for its snapshot and start it again at once. */
  readonly stop: boolean;
};

export type VolumeJob = CommonJob & {
  readonly kind: "volume";
  readonly source: VolumeUnit;
  readonly target: VolumeUnit;
};

/**
 * One thing to replicate: from where, to where, how, and what to keep on both sides. Where the source's name is a glob
 * it stands for everything that matches, each going to its own name in the target's place.
 */
export type Job = InstanceJob | VolumeJob;

/** The unit on the given side of a job. */
export function unitOn(job: Job, side: Side): Unit {
  return job[side];
}
