import type { Copy } from "../model/copy.ts";
import { MARKS } from "../model/marks.ts";
import type {
  AdoptStep,
  CopyStep,
  GrowStep,
  MendStep,
  PruneStep,
  RenameStep,
  ReseedStep,
  Step,
  StepId,
  Warning,
} from "../model/plan.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import type { CopyRoute } from "./choose-route.ts";
import { byAge } from "./compare-snapshots.ts";
import { mendStep } from "./half-snapshots.ts";
import { adoptionConfig, replicaMarks } from "./judge-replica.ts";
import { keptMark } from "./kept-history.ts";
import { type CopyContext, makeCopy } from "./make-copy.ts";
import { unscheduled } from "./new-replica.ts";
import type { InstancePair, Pair } from "./pair-up.ts";
import { isSmaller } from "./size-bytes.ts";
import { rootDisk } from "./storage-pair.ts";

export type Copying = {
  /** What must be done before this run's snapshot is taken. */
  readonly ahead: readonly Step[];
  readonly steps: readonly Step[];
  readonly warnings: readonly Warning[];
  readonly copy: CopyStep;
  /** What the target holds once the copy is proven. */
  readonly after: readonly Snapshot[];
};

export type CopyNeeds = {
  /** This run's snapshot, as it will be. */
  readonly taken: Snapshot;
  /** The steps before: the snapshot, and the copies of the volumes that an instance uses. */
  readonly needs: readonly StepId[];
};

/** The transfer of a workload, with all that must be put right on the target before it. */
export function copySteps(route: CopyRoute, { taken, needs }: CopyNeeds, context: CopyContext): Copying {
  const { pair, comparison, catchesUp } = route;
  const before = preparations(route, context);
  const prepared = idsOf(before);
  const id = unitId(pair.job.source);
  const held = heldAfter(route);
  const after = byAge([...held, taken]);
  if (!catchesUp) {
    const sends = [...comparison.sends, taken];
    const made = transferOf(route, { sends, proof: after, last: taken.name }, context);
    const mend = mendOf(route, made.step.copy, [...needs, ...prepared]);
    const copy: CopyStep = { ...made.step, id: `copy:${id}`, needs: [...needs, ...prepared, ...idsOf(mend)] };
    return { ahead: [], steps: [...before, ...mend, copy], warnings: made.warnings, copy, after };
  }
  const first = transferOf(route, { sends: comparison.sends, proof: held, last: undefined }, context);
  const mend = mendOf(route, first.step.copy, prepared);
  const catchUp: CopyStep = { ...first.step, id: `catch-up:${id}`, needs: [...prepared, ...idsOf(mend)] };
  const second = transferOf(route, { sends: [taken], proof: after, last: taken.name }, context);
  const base = comparison.sends.at(-1)?.name;
  const copy: CopyStep = { ...second.step, id: `copy:${id}`, needs: [...needs, catchUp.id], base, vanishes: [] };
  return { ahead: [...before, ...mend, catchUp], steps: [copy], warnings: first.warnings, copy, after };
}

function mendOf({ mends }: CopyRoute, copy: Copy, needs: readonly StepId[]): MendStep[] {
  return copy.kind === "volume" || mends.length === 0 ? [] : [mendStep(copy, mends, needs)];
}

function idsOf(steps: readonly Step[]): StepId[] {
  return steps.map(({ id }) => id);
}

/** What the target holds once it has caught up with the source as it is now. */
function heldAfter({ keep, comparison }: CopyRoute): Snapshot[] {
  const kept = new Set(keep.map(({ name }) => name));
  const onTarget = comparison.targetOnly.filter(({ name }) => kept.has(name));
  return byAge([...comparison.common, ...onTarget, ...comparison.sends]);
}

type Transferring = {
  readonly sends: readonly Snapshot[];
  readonly proof: readonly Snapshot[];
  /** Of this run, if it is sent with it. */
  readonly last: string | undefined;
};

function transferOf(route: CopyRoute, { sends, proof, last }: Transferring, context: CopyContext) {
  const { pair, pool, keep, comparison } = route;
  const names = sends.map(({ name }) => name);
  const kept = new Set(keep.map(({ name }) => name));
  const asserts = pair.job.history === "keep" ? names : undefined;
  const isNew = pair.replica === undefined;
  const made = makeCopy(pair, { name: pair.job.target.name, pool, isNew, keep, sends: asserts }, context);
  const step = {
    kind: "copy",
    workload: pair.job.source,
    copy: made.copy,
    base: comparison.newestCommon?.name,
    sends: names,
    proof: proof.map(({ name }) => name),
    dropped: made.dropped,
    vanishes: comparison.targetOnly
      .filter(({ name }) => !kept.has(name))
      .map(({ name }) => ({ name, reasons: ["the source no longer has it"] })),
    marks: {
      ...replicaMarks(pair, context.index),
      ...(last === undefined ? {} : { [MARKS.last]: last }),
      ...unscheduled(isNew, pair.source),
    },
  } as const;
  return { step, warnings: [...made.warnings, ...refreshWarnings(pair, pool)] };
}

/** The mark of kept history: what will be on the replica once the run is over. */
export function withKeptMark<S extends CopyStep | ReseedStep>(step: S, removed: readonly string[]): S {
  const names = step.proof.filter((name) => !removed.includes(name));
  return { ...step, marks: { ...step.marks, ...keptMark(names) } };
}

type Preparation = RenameStep | PruneStep | AdoptStep | GrowStep;

/** What the replica needs before a refresh: its name, its unproven end off, our marks, and room. */
function preparations(route: CopyRoute, context: CopyContext): Preparation[] {
  const { pair, renames, retracts, adopts, comparison } = route;
  const { source: workload, target: unit } = pair.job;
  const rename = renames && renameStep(pair, renames.name);
  const common = { needs: rename === undefined ? [] : [rename.id], workload, unit };
  const grow = growStep(pair);
  // One that another tool has made may be, and so may one of ours that was taken over before this was looked at.
  const lasting = pair.kind === "instance" && pair.replica?.ephemeral === true ? pair.job.target : undefined;
  const retract: PruneStep = {
    ...common,
    kind: "prune",
    id: `retract-target:${unitId(workload)}`,
    side: "target",
    removals: retracts,
    onlyIfGoneFrom: undefined,
    verdicts: [],
  };
  return [
    ...(rename === undefined ? [] : [rename]),
    ...(retracts.length === 0 ? [] : [retract]),
    ...(adopts || lasting !== undefined
      ? [
          {
            ...common,
            kind: "adopt",
            id: `adopt:${unitId(workload)}`,
            marks: adopts ? adoptionConfig(pair, comparison, context.index) : {},
            lasting,
          } as const,
        ]
      : []),
    ...(grow === undefined ? [] : [{ ...grow, needs: common.needs }]),
  ];
}

function renameStep({ job }: Pair, name: string): RenameStep {
  const { source: workload, target } = job;
  return {
    kind: "rename",
    id: `rename:${unitId(workload)}`,
    needs: [],
    workload,
    unit: { ...target, name },
    name: target.name,
  };
}

/** Room for what the source has become: a refresh does not raise the size of what it writes to. */
function growStep(pair: Pair): GrowStep | undefined {
  const { source: workload, target: unit } = pair.job;
  const grown = pair.kind === "volume" ? grownVolume(pair) : grownRoot(pair);
  if (grown === undefined) return undefined;
  return { kind: "grow", id: `grow:${unitId(workload)}`, needs: [], workload, unit, ...grown };
}

type Grown = Pick<GrowStep, "size" | "devices">;

function grownVolume({ source, replica }: Pair): Grown | undefined {
  const size = source.config["size"];
  return isSmaller(replica?.config["size"], size) ? { size: size ?? "", devices: {} } : undefined;
}

function grownRoot({ source, replica }: InstancePair): Grown | undefined {
  const [here, there] = [rootDisk(source.expandedDevices), rootDisk(replica?.expandedDevices ?? {})];
  const size = here?.device["size"];
  if (there === undefined || !isSmaller(there.device["size"], size)) return undefined;
  const { size: _smaller, ...device } = there.device;
  return { size: size ?? "", devices: { [there.name]: { ...device, ...(size === undefined ? {} : { size }) } } };
}

/** Where a refresh leaves the replica where it is, and the configuration says otherwise. */
function refreshWarnings({ kind, job, replica }: Pair, pool: string): Warning[] {
  if (kind === "volume" || replica === undefined || job.rootPool === undefined || job.rootPool === pool) return [];
  const text = `The replica ${unitLabel(job.target)} lies in pool ${pool}, not ${job.rootPool}: a refresh does not move it, iab run --reseed does`;
  return [{ code: "pool.differs", workload: job.source, text }];
}
