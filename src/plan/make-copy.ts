import type { Copy, KeptSnapshot } from "../model/copy.ts";
import type { DroppedDevice, Warning } from "../model/plan.ts";
import { unitId, unitLabel, type VolumeUnit } from "../model/unit.ts";
import { type FilteredDevices, filterDevices } from "./filter-devices.ts";
import type { StateIndex } from "./index-state.ts";
import { replicaMarks } from "./judge-replica.ts";
import { newInstance, newVolume } from "./new-replica.ts";
import type { Orders } from "./orders.ts";
import type { Pair } from "./pair-up.ts";
import { leftOffWarnings } from "./stand-ins.ts";

export type CopyContext = {
  readonly index: StateIndex;
  readonly orders: Orders;
  /** Where each volume of the source is replicated to, by the id of its source. */
  readonly volumeTargets: ReadonlyMap<string, VolumeUnit>;
  /** The member, or `@group`, of each replica in a cluster, by the id of its source. */
  readonly members: ReadonlyMap<string, string>;
};

export type Transfer = {
  /** What the target is called for the time of the transfer. */
  readonly name: string;
  /** The pool on the target. */
  readonly pool: string;
  readonly isNew: boolean;
  readonly keep: readonly KeptSnapshot[];
  readonly sends: readonly string[] | undefined;
};

export type MadeCopy = {
  readonly copy: Copy;
  /** Of a new replica; those of one that exists were dropped when it was made. */
  readonly dropped: readonly DroppedDevice[];
  readonly warnings: readonly Warning[];
};

/** The transfer of a workload. What a new replica would be made with goes along with every refresh, which ignores it. */
export function makeCopy(pair: Pair, { name, pool, isNew, keep, sends }: Transfer, context: CopyContext): MadeCopy {
  const { mode, targetMember } = pair.job;
  const { index, volumeTargets } = context;
  const member = context.members.get(unitId(pair.job.source));
  const isIgnored = targetMember !== undefined && isNew && !index.target.facts.clustered;
  const common = {
    mode,
    member,
    keep,
    sends,
    bytesPerSecond: undefined,
  };
  const warnings = isIgnored ? [memberIgnored(pair, targetMember)] : [];
  const marks = replicaMarks(pair, index);
  if (pair.kind === "volume") {
    const { source, target } = pair.job;
    const create = newVolume(pair.source, marks);
    const copy = { ...common, kind: "volume", source, target: { ...target, name, pool }, create } as const;
    return { copy: { ...copy, allowInconsistent: false }, dropped: [], warnings };
  }
  const { source, target, excludeDevices } = pair.job;
  const filtered = filterDevices(pair.source, { index, target, rootPool: pool, member, excludeDevices, volumeTargets });
  const create = newInstance(pair.source, filtered, marks);
  const copy = { ...common, kind: "instance", source, target: { ...target, name }, create } as const;
  return {
    // A running source is not frozen for the whole transfer: its snapshots are whole in any case.
    copy: { ...copy, allowInconsistent: true },
    dropped: isNew ? filtered.dropped : [],
    warnings: isNew
      ? [...warnings, ...leftOffWarnings(pair, filtered, index), ...droppedWarnings(pair, filtered)]
      : warnings,
  };
}

function memberIgnored({ job }: Pair, member: string): Warning {
  return { code: "member.ignored", workload: job.source, text: `The target is not a cluster: ${member} is ignored` };
}

function droppedWarnings({ job }: Pair, { dropped }: FilteredDevices): Warning[] {
  return dropped.map(({ name, device, why }) => ({
    code: "device.dropped",
    workload: job.source,
    text: `The replica of ${unitLabel(job.source)} is made without device ${name} (${device["type"]}): ${why}`,
  }));
}
