import type { KeptSnapshot } from "../model/copy.ts";
import { MARKS } from "../model/marks.ts";
import type { Removal } from "../model/plan.ts";
import { isOwnSnapshotName, type Snapshot } from "../model/snapshot.ts";
import type { Capabilities, Workload } from "../model/state.ts";
import { unitLabel } from "../model/unit.ts";
import { type Comparison, compareSnapshots } from "./compare-snapshots.ts";
import { freshCopiesOf } from "./fresh-name.ts";
import { halfInTheWay, halfRefusal, halvesOf, NO_HALVES } from "./half-snapshots.ts";
import { impossibility } from "./impossibility.ts";
import type { StateIndex } from "./index-state.ts";
import { isIso, isoRoute } from "./iso-image.ts";
import {
  freshHint,
  isRecreated,
  ownChanges,
  ownershipOf,
  type Refusal,
  sourceMark,
  unusable,
} from "./judge-replica.ts";
import { keptHistory } from "./kept-history.ts";
import { memberRefusal } from "./member-refusal.ts";
import { isNamed, type Orders } from "./orders.ts";
import type { Pair } from "./pair-up.ts";
import { reseedRefusal } from "./reseed-refusal.ts";
import { sendingOrder } from "./sending-order.ts";
import { type StoragePair, storagePair, targetPoolOf } from "./storage-pair.ts";
import { type UnprovenTail, unprovenTail } from "./unproven-tail.ts";

/** How a workload gets to the target. */
export type Route = { readonly kind: "none"; readonly refusal: Refusal } | CopyRoute | ReseedRoute;

/** A fresh copy that takes the place of a replica. */
export type ReseedRoute = {
  readonly kind: "reseed";
  readonly pair: Pair;
  readonly replica: Workload;
  /** The pool of the fresh copy. */
  readonly pool: string;
  /** The old one holds what the fresh one will not. */
  readonly keepOld: boolean;
  /** What the old one keeps half of: it could not be deleted. */
  readonly mends: readonly string[];
  readonly why: string;
  readonly gapSafe: boolean;
};

/** A refresh of what is there, or the first copy where nothing is. */
export type CopyRoute = {
  readonly kind: "copy";
  readonly pair: Pair;
  /** The pool on the target: of the root disk, or of the volume. */
  readonly pool: string;
  readonly comparison: Comparison;
  /** The replica is taken over first. */
  readonly adopts: boolean;
  /** The replica is still called so, and gets its name first. */
  readonly renames: Workload | undefined;
  /** What the target drops first, because an earlier run did not live to prove it. Newest first. */
  readonly retracts: readonly Removal[];
  /** What no run has proven and nevertheless stays. */
  readonly doubtful: readonly string[];
  /** What the target keeps half of, and has to be rid of first. */
  readonly mends: readonly string[];
  readonly keep: readonly KeptSnapshot[];
  /** What the target lacks is sent before this run's snapshot is taken: together they could not be sent. */
  readonly catchesUp: boolean;
  readonly gapSafe: boolean;
};

export type RouteContext = {
  readonly index: StateIndex;
  readonly orders: Orders;
  readonly leftovers: readonly Workload[];
};

/** Decides whether and how a workload may be replicated: nothing that is not ours, and nothing that would be damaged. */
export function chooseRoute(pair: Pair, context: RouteContext): Route {
  const waiting = memberRefusal(pair, context.index);
  const pool = targetPoolOf(pair);
  if (waiting !== undefined || pool === undefined) return none(waiting ?? { why: "it has no root disk" });
  const impossible = impossibility(pair, pool, context);
  if (impossible !== undefined) return none(impossible);
  if (isIso(pair.source)) return isoRoute(pair, pair.source, firstCopy(pair, pool), context);
  if (pair.replica !== undefined) return routeToReplica(pair, pair.replica, pool, context);
  const finished = freshCopiesOf(pair.job.target, sourceMark(pair, context.index), context.leftovers).find(isProven);
  if (finished === undefined) return firstCopy(pair, pool);
  const route = routeToReplica(withReplica(pair, finished), finished, pool, context);
  return route.kind === "copy" ? { ...route, renames: finished } : route;
}

function none(refusal: Refusal): Route {
  return { kind: "none", refusal };
}

function firstCopy(pair: Pair, pool: string): CopyRoute {
  return {
    kind: "copy",
    pair,
    pool,
    comparison: compareSnapshots(pair.kind, pair.source.snapshots, []),
    adopts: false,
    renames: undefined,
    retracts: [],
    doubtful: [],
    mends: [],
    keep: [],
    catchesUp: false,
    gapSafe: false,
  };
}

/** The pair with another object of the target in the replica's place. */
function withReplica(pair: Pair, replica: Workload): Pair {
  const { name } = pair.job.target;
  if (pair.kind === "instance") return replica.kind === "instance" ? { ...pair, replica: { ...replica, name } } : pair;
  return replica.kind === "volume" ? { ...pair, replica: { ...replica, name } } : pair;
}

function routeToReplica(pair: Pair, replica: Workload, pool: string, context: RouteContext): Route {
  const { index, orders } = context;
  const all = compareSnapshots(pair.kind, pair.source.snapshots, replica.snapshots);
  const asked = isNamed(pair.job.source, orders.adopt);
  const ownership = ownershipOf(pair, replica, all, { index, asked });
  const marked = replica.config[MARKS.source] === sourceMark(pair, index);
  const reseeds = isNamed(pair.job.source, orders.reseed);
  if (ownership.state === "foreign" && !(reseeds && marked)) return none(ownership);
  const blocked = unusable(pair, replica, index);
  if (blocked !== undefined) return none(blocked);
  const changes = ownChanges(pair, replica);
  const adopts = ownership.state === "adoptable" || (asked && changes !== undefined);
  const storage = storagePair(pair, pool, index);
  const found = { pair, replica, pool, adopts, all, storage, run: orders.run };
  if (reseeds) return reseed(found, { keepOld: holdsMore(pair, replica, all), why: "asked for with --reseed" });
  return changes === undefined || adopts ? refresh(found, index.target.facts.can) : none(changes);
}

/** Whether the old replica holds what its fresh copy will not. */
function holdsMore(pair: Pair, replica: Workload, { targetOnly }: Comparison): boolean {
  return targetOnly.length > 0 || ownChanges(pair, replica) !== undefined || isRecreated(pair, replica);
}

/** A pair with a replica that may be written to. */
type Found = {
  readonly pair: Pair;
  readonly replica: Workload;
  readonly pool: string;
  readonly adopts: boolean;
  readonly all: Comparison;
  readonly storage: StoragePair;
  readonly run: string;
};

function reseed(
  { pair, replica, pool, storage, all }: Found,
  { keepOld, why }: { readonly keepOld: boolean; readonly why: string },
): Route {
  const refusal = reseedRefusal(pair, replica);
  if (refusal !== undefined) return none(refusal);
  const { mends, stays } = halvesOf(replica, all);
  if (!keepOld && stays.length > 0) return none(halfRefusal(pair, stays));
  const wanted = (pair.kind === "instance" ? pair.job.rootPool : undefined) ?? pool;
  return {
    kind: "reseed",
    pair,
    replica,
    pool: wanted,
    keepOld,
    mends: keepOld ? [] : mends,
    why,
    gapSafe: storage.gapSafe,
  };
}

function refresh(found: Found, { repairsHalves }: Capabilities): Route {
  const { pair, replica, pool, adopts, storage } = found;
  // Between like drivers a transfer goes by what is really there, so that an unfinished first copy completes itself.
  const unfinished = !adopts && !isProven(replica) && !storage.rsync;
  if (unfinished && replica.snapshots.length === 0)
    return reseed(found, { keepOld: false, why: "its first copy was never completed" });
  const { retracts, doubtful, left, comparison } = takenBack(found, adopts || unfinished);
  const halves = repairsHalves ? NO_HALVES : halvesOf(replica, comparison);
  const refusal =
    baseless(pair, left, comparison, storage.rsync) ??
    unsafeGap(pair, comparison, storage.gapSafe) ??
    halfInTheWay(pair, halves, comparison);
  if (refusal !== undefined) return none(refusal);
  const history =
    pair.job.history === "keep" ? keptHistory(comparison, replica.config, storage) : mirrored(pair, comparison);
  if ("why" in history) return none(history);
  const order = sendingOrder(pair, comparison, storage, found.run);
  if (typeof order === "object") return none(order);
  const { gapSafe } = storage;
  const { keep } = history;
  const catchesUp = order === "before the snapshot";
  return {
    kind: "copy",
    pair,
    pool,
    comparison,
    adopts,
    renames: undefined,
    retracts,
    doubtful,
    mends: halves.mends,
    keep,
    catchesUp,
    gapSafe,
  };
}

type TakenBack = UnprovenTail & { readonly left: readonly Snapshot[]; readonly comparison: Comparison };

/** The replica without what no run has proven, as far as something to build on is left of it. */
function takenBack({ pair, replica, all, storage }: Found, trusted: boolean): TakenBack {
  const { retracts, doubtful } = trusted ? NOTHING_UNPROVEN : unprovenTail(replica, all, pair.job.history);
  if (retracts.length === 0) return { retracts, doubtful, left: replica.snapshots, comparison: all };
  const without = (gone: readonly Removal[]) => {
    const names = new Set(gone.map(({ name }) => name));
    const left = replica.snapshots.filter(({ name }) => !names.has(name));
    return { left, comparison: compareSnapshots(pair.kind, pair.source.snapshots, left) };
  };
  const rest = without(retracts);
  const enough = rest.comparison.newestCommon !== undefined || (storage.rsync && rest.left.length === 0);
  const base = retracts.at(-1);
  if (enough || base === undefined) return { retracts, doubtful, ...rest };
  const newer = retracts.slice(0, -1);
  return { retracts: newer, doubtful: [base.name, ...doubtful], ...without(newer) };
}

const NOTHING_UNPROVEN: UnprovenTail = { retracts: [], doubtful: [] };

function isProven({ config }: Workload): boolean {
  return config[MARKS.last] !== undefined;
}

/** Without a common snapshot the server would wipe the replica before it sends: an interruption would leave nothing. */
function baseless(
  pair: Pair,
  left: readonly Snapshot[],
  { newestCommon }: Comparison,
  rsync: boolean,
): Refusal | undefined {
  if (newestCommon !== undefined || (rsync && left.length === 0)) return undefined;
  const place = unitLabel(pair.job.target);
  const what =
    left.length === 0
      ? `${place} on the target has no snapshot`
      : `no snapshot of ${place} on the target is on the source too`;
  return { why: `${what}: a refresh would wipe the replica before anything is sent`, hint: freshHint(pair) };
}

/** Where the target lacks what the source still has, ZFS before 7.0.1 and btrfs in every version do damage. */
function unsafeGap(pair: Pair, { gaps }: Comparison, gapSafe: boolean): Refusal | undefined {
  if (gaps.length === 0 || gapSafe) return undefined;
  return {
    why: `its replica lacks ${gaps.map(({ name }) => name).join(", ")}, which the source has: a refresh over such a gap damages it`,
    hint: `${freshHint(pair)}. Or delete the same snapshots on the source`,
  };
}

/** In a mirror the refresh deletes what only the target has; what a person has made there is not ours to lose. */
function mirrored(pair: Pair, { targetOnly }: Comparison): { readonly keep: readonly [] } | Refusal {
  const foreign = targetOnly.filter((snapshot) => !isOwnSnapshotName(snapshot.name) && isMadeOnTarget(pair, snapshot));
  if (foreign.length === 0) return { keep: [] };
  const names = foreign.map(({ name }) => name).join(", ");
  return {
    why: `a refresh would delete ${names}, which somebody has made on the replica`,
    hint: `Copy it to an object of its own and delete it from ${unitLabel(pair.job.target)} on the target, or use history: keep`,
  };
}

/** A snapshot of an instance loses the fraction of its second when it is copied. One of a volume does not. */
function isMadeOnTarget(pair: Pair, { createdAtExact }: Snapshot): boolean {
  return pair.kind === "instance" && /\.\d*[1-9]/.test(createdAtExact);
}
