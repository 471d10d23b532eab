import type { History } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { Removal } from "../model/plan.ts";
import { isOwnSnapshotName } from "../model/snapshot.ts";
import type { Workload } from "../model/state.ts";
import { byAge, type Comparison } from "./compare-snapshots.ts";

export type UnprovenTail = {
  /** What goes and is sent again. Newest first, so that an interruption leaves no gap. */
  readonly retracts: readonly Removal[];
  /** What cannot be taken back, since it is not ours or is older than what is not. */
  readonly doubtful: readonly string[];
};

/**
 * The newest snapshots of a replica that no run has proven: one that died in the middle, and the servers with it, may
 * have left their records without their content, which no listing shows. The source still has them to send again.
 */
export function unprovenTail(replica: Workload, { common }: Comparison, history: History): UnprovenTail {
  const onSource = new Set(common.map(({ name }) => name));
  const newer = newerThanProven(replica);
  const end = newer.findIndex((name) => !isOwnSnapshotName(name) || !onSource.has(name));
  const tail = end < 0 ? newer : newer.slice(0, end);
  return {
    retracts: tail.map((name) => ({ name, reasons: ["no run has proven it; it is sent again"] })),
    doubtful: end < 0 ? [] : newer.slice(end).filter((name) => history === "keep" || onSource.has(name)),
  };
}

/** The names of what came after the newest proven snapshot, newest first; of all where there never was one. */
function newerThanProven({ config, snapshots }: Workload): string[] {
  const newestFirst = byAge(snapshots)
    .reverse()
    .map(({ name }) => name);
  const last = config[MARKS.last];
  if (last === undefined) return newestFirst;
  const at = newestFirst.indexOf(last);
  if (at >= 0) return newestFirst.slice(0, at);
  // Where the proven one is gone from the target, our names tell by themselves which of them are younger.
  const end = newestFirst.findIndex((name) => !isOwnSnapshotName(name) || name < last);
  return end < 0 ? newestFirst : newestFirst.slice(0, end);
}
