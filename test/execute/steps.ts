import { actOn } from "../../src/execute/act-on.ts";
import { executePlan, type Observer } from "../../src/execute/execute-plan.ts";
import type { InstanceCopy, VolumeCopy } from "../../src/model/copy.ts";
import type { Outcomes } from "../../src/model/outcome.ts";
import type { CopyStep, Plan, PruneStep, SnapshotStep, Step } from "../../src/model/plan.ts";
import { type InstanceUnit, type Unit, unitId, type VolumeUnit } from "../../src/model/unit.ts";
import type { MemoryServers } from "../fakes/memory-servers/memory-servers.ts";
import type { MemoryWorld } from "../fakes/world/memory-world.ts";

export const RUN = "IAB_20261120-040000";

export function instance(name: string): InstanceUnit {
  return { kind: "instance", project: "default", name };
}

export function volume(name: string): VolumeUnit {
  return { kind: "volume", project: "default", pool: "local", name };
}

export function snapshotStep(unit: Unit, more: Partial<SnapshotStep> = {}): SnapshotStep {
  const id = `snapshot:${unitId(unit)}`;
  return {
    kind: "snapshot",
    id,
    needs: [],
    workload: unit,
    unit,
    name: RUN,
    stop: false,
    notBefore: undefined,
    ...more,
  };
}

export function copyStep(unit: Unit, more: Partial<CopyStep> = {}): CopyStep {
  return {
    kind: "copy",
    id: `copy:${unitId(unit)}`,
    needs: [`snapshot:${unitId(unit)}`],
    workload: unit,
    copy: copyOf(unit),
    base: undefined,
    sends: [RUN],
    proof: [RUN],
    dropped: [],
    vanishes: [],
    marks: { "user.iab.last": RUN },
    ...more,
  };
}

export function pruneStep(
  side: "source" | "target",
  unit: Unit,
  names: string[],
  more: Partial<PruneStep> = {},
): PruneStep {
  return {
    kind: "prune",
    id: `prune-${side}:${unitId(unit)}`,
    needs: [`copy:${unitId(unit)}`],
    workload: unit,
    unit,
    side,
    removals: names.map((name) => ({ name, reasons: [] })),
    onlyIfGoneFrom: undefined,
    verdicts: [],
    ...more,
  };
}

export function copyOf(unit: Unit, target: Unit = unit): InstanceCopy | VolumeCopy {
  const common = {
    mode: "pull",
    member: undefined,
    allowInconsistent: false,
    keep: [],
    sends: undefined,
    bytesPerSecond: undefined,
  } as const;
  if (unit.kind === "volume" && target.kind === "volume") {
    const create = { contentType: "filesystem", description: "", config: { "user.iab.source": "s" } } as const;
    return { ...common, kind: "volume", source: unit, target, create };
  }
  if (unit.kind !== "instance" || target.kind !== "instance") throw new Error("two kinds");
  const create = {
    type: "container",
    architecture: "x86_64",
    description: "",
    config: { "user.iab.source": "s" },
    devices: {},
    profiles: [],
  } as const;
  return { ...common, kind: "instance", source: unit, target, create };
}

export function planOf(steps: readonly Step[]): Plan {
  return { run: RUN, at: 0, hosts: { source: "one", target: "two" }, steps, skipped: [], warnings: [] };
}

const SILENT: Observer = { began: () => {}, progressed: () => {}, ended: () => {} };

/** Carries steps out on servers in memory. */
export function execute(
  steps: readonly Step[],
  both: MemoryServers,
  world: MemoryWorld,
  more: { concurrency?: number; observer?: Observer } = {},
): Promise<Outcomes> {
  const act = actOn({ servers: both.servers, clock: world.clock, log: world.log, run: RUN });
  const options = { act, observer: more.observer ?? SILENT, concurrency: more.concurrency ?? 4 };
  return executePlan(planOf(steps), options, world.signal);
}
