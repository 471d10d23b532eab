import { MARKS } from "../model/marks.ts";
import type { ReseedStep, Warning } from "../model/plan.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { unitId } from "../model/unit.ts";
import type { ReseedRoute } from "./choose-route.ts";
import { byAge } from "./compare-snapshots.ts";
import type { CopyNeeds } from "./copy-steps.ts";
import { asideName, freshUnit, oldName } from "./fresh-name.ts";
import { replicaMarks } from "./judge-replica.ts";
import { type CopyContext, makeCopy } from "./make-copy.ts";

export type Reseeding = {
  readonly step: ReseedStep;
  readonly warnings: readonly Warning[];
  readonly after: readonly Snapshot[];
};

/** A fresh copy of a workload beside its replica, whose place it takes. */
export function reseedStep(
  { pair, replica, pool, keepOld, why }: ReseedRoute,
  { taken, needs }: CopyNeeds,
  context: CopyContext,
): Reseeding {
  const { source: workload, target } = pair.job;
  const { run } = context.orders;
  const fresh = freshUnit(target, run);
  const made = makeCopy(pair, { name: fresh.name, pool, isNew: true, keep: [], sends: undefined }, context);
  const after = byAge([...pair.source.snapshots, taken]);
  const proof = after.map(({ name }) => name);
  const step: ReseedStep = {
    kind: "reseed",
    id: `reseed:${unitId(workload)}`,
    needs,
    workload,
    why,
    copy: made.copy,
    replaces: { ...target, name: replica.name },
    aside: keepOld ? oldName(target, run) : asideName(target),
    keeps: keepOld,
    proof,
    marks: { ...replicaMarks(pair, context.index), [MARKS.last]: taken.name },
  };
  return { step, warnings: made.warnings, after };
}
