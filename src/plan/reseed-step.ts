import { MARKS } from "../model/marks.ts";
import type { MendStep, ReseedStep, Step, StepId, Warning } from "../model/plan.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { unitId } from "../model/unit.ts";
import type { ReseedRoute } from "./choose-route.ts";
import { byAge } from "./compare-snapshots.ts";
import type { CopyNeeds } from "./copy-steps.ts";
import { asideName, freshUnit, oldName } from "./fresh-name.ts";
import { mendStep } from "./half-snapshots.ts";
import { replicaMarks } from "./judge-replica.ts";
import { type CopyContext, makeCopy } from "./make-copy.ts";
import { unscheduled } from "./new-replica.ts";
import { targetPoolOf } from "./storage-pair.ts";

export type Reseeding = {
  readonly steps: readonly Step[];
  readonly reseed: ReseedStep;
  readonly warnings: readonly Warning[];
  readonly after: readonly Snapshot[];
};

/** A fresh copy of a workload beside its replica, whose place it takes. */
export function reseedStep(route: ReseedRoute, { taken, needs }: CopyNeeds, context: CopyContext): Reseeding {
  const { pair, replica, pool, keepOld, why } = route;
  const { source: workload, target } = pair.job;
  const { run } = context.orders;
  const fresh = freshUnit(target, run);
  const made = makeCopy(pair, { name: fresh.name, pool, isNew: true, keep: [], sends: undefined }, context);
  const after = byAge([...pair.source.snapshots, taken]);
  const proof = after.map(({ name }) => name);
  const mend = mendOf(route, needs, context);
  const reseed: ReseedStep = {
    kind: "reseed",
    id: `reseed:${unitId(workload)}`,
    needs: [...needs, ...mend.map(({ id }) => id)],
    workload,
    why,
    copy: made.copy,
    replaces: { ...target, name: replica.name },
    aside: keepOld ? oldName(target, run) : asideName(target),
    keeps: keepOld,
    proof,
    marks: { ...replicaMarks(pair, context.index), [MARKS.last]: taken.name, ...unscheduled(true, pair.source) },
  };
  return { steps: [...mend, reseed], reseed, warnings: made.warnings, after };
}

/** What stands in the way of deleting the old one. */
function mendOf({ pair, replica, mends }: ReseedRoute, needs: readonly StepId[], context: CopyContext): MendStep[] {
  const pool = targetPoolOf(pair);
  if (mends.length === 0 || pool === undefined) return [];
  const { copy } = makeCopy(pair, { name: replica.name, pool, isNew: false, keep: [], sends: undefined }, context);
  return copy.kind === "volume" ? [] : [mendStep(copy, mends, needs)];
}
