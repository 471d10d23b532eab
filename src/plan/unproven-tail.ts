import { MARKS } from "../model/marks.ts";
import type { Removal } from "../model/plan.ts";
import { isOwnSnapshotName } from "../model/snapshot.ts";
import type { Workload } from "../model/state.ts";
import { byAge, type Comparison } from "./compare-snapshots.ts";

/**
 * The newest snapshots of a replica that no run has proven: one that died in the middle may have left their records
 * without their content, which no listing shows. The source still has them, so they go and are sent again. Newest first.
 */
export function unprovenTail({ config, snapshots }: Workload, { common }: Comparison): Removal[] {
  const newestFirst = byAge(snapshots).reverse();
  const proven = newestFirst.findIndex(({ name }) => name === config[MARKS.last]);
  // Where the proven one is gone, nothing tells what came after it.
  if (proven < 0 && config[MARKS.last] !== undefined) return [];
  const newer = proven < 0 ? newestFirst : newestFirst.slice(0, proven);
  const onSource = new Set(common.map(({ name }) => name));
  const end = newer.findIndex(({ name }) => !isOwnSnapshotName(name) || !onSource.has(name));
  const tail = end < 0 ? newer : newer.slice(0, end);
  return tail.map(({ name }) => ({ name, reasons: ["no run has proven it; it is sent again"] }));
}
