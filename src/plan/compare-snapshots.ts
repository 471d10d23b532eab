import type { Snapshot } from "../model/snapshot.ts";
import { SECOND_MS } from "../model/time.ts";
import type { Unit } from "../model/unit.ts";

/** How two lists of snapshots relate, in the eyes of a refresh. Each part is oldest first. */
export type Comparison = {
  /** On both sides, by name and date. */
  readonly common: readonly Snapshot[];
  readonly newestCommon: Snapshot | undefined;
  /** On the source, and newer than all that is common: what a refresh sends. */
  readonly sends: readonly Snapshot[];
  /** On the source and no newer than what is common, yet not on the target: a refresh leaves them out. */
  readonly gaps: readonly Snapshot[];
  /** On the target only: a refresh deletes them. */
  readonly targetOnly: readonly Snapshot[];
};

/** Compares as Incus does: by name and date, where those of an instance are whole seconds on the target. */
export function compareSnapshots(
  kind: Unit["kind"],
  source: readonly Snapshot[],
  target: readonly Snapshot[],
): Comparison {
  const [onSource, onTarget] = [byAge(source), byAge(target)];
  const isIn = (dates: ReadonlyMap<string, number>) => (snapshot: Snapshot) =>
    dates.get(snapshot.name) === momentOf(kind, snapshot);
  const isOnTarget = isIn(datesOf(kind, onTarget));
  const isOnSource = isIn(datesOf(kind, onSource));
  const common = onSource.filter(isOnTarget);
  const missing = common.length === onSource.length ? [] : onSource.filter((snapshot) => !isOnTarget(snapshot));
  const newestCommon = common.at(-1);
  const latest = newestCommon === undefined ? Number.NEGATIVE_INFINITY : momentOf(kind, newestCommon);
  return {
    common,
    newestCommon,
    sends: missing.filter((snapshot) => momentOf(kind, snapshot) > latest),
    gaps: missing.filter((snapshot) => momentOf(kind, snapshot) <= latest),
    targetOnly: onTarget.filter((snapshot) => !isOnSource(snapshot)),
  };
}

function datesOf(kind: Unit["kind"], snapshots: readonly Snapshot[]): Map<string, number> {
  return new Map(snapshots.map((snapshot) => [snapshot.name, momentOf(kind, snapshot)]));
}

/** The snapshots, oldest first. */
export function byAge(snapshots: readonly Snapshot[]): Snapshot[] {
  return [...snapshots].sort((a, b) => a.createdAt - b.createdAt);
}

/** The date a refresh goes by. A replica's snapshots bear theirs in whole seconds if it is an instance. */
function momentOf(kind: Unit["kind"], { createdAt }: Snapshot): number {
  return kind === "instance" ? Math.floor(createdAt / SECOND_MS) : createdAt;
}
