import { type Job, SIDES, type Side, unitOn } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import { isOwnSnapshotName, type Snapshot } from "../model/snapshot.ts";
import type { State, Workload } from "../model/state.ts";
import type { Stock, StockRow, Taken, Uncovered } from "../model/stock.ts";
import type { EpochMs } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";
import { byAge } from "./compare-snapshots.ts";
import { indexState, type ServerIndex, type StateIndex } from "./index-state.ts";
import { isIso, isoImage } from "./iso-image.ts";
import { sourceMark } from "./judge-replica.ts";
import { rememberedHistory } from "./kept-history.ts";
import { awayText } from "./member-refusal.ts";
import { type Pair, pairUp } from "./pair-up.ts";

/** What there is of every workload on both sides, and what the configuration leaves uncovered. */
export function takeStock(jobs: readonly Job[], state: State, now: EpochMs): Stock {
  const index = indexState(state);
  const { pairs } = pairUp(jobs, index);
  return {
    at: now,
    rows: pairs.flatMap((pair) => SIDES.map((side) => rowOf(pair, side, { now, index }))),
    uncovered: [...uncoveredOnSource(index.source, pairs), ...orphansOnTarget(index.target, pairs, sourceMarks())],
  };

  function sourceMarks(): { readonly known: ReadonlySet<string>; readonly host: string } {
    return { known: new Set(pairs.map((pair) => sourceMark(pair, index))), host: index.source.facts.host };
  }
}

type Looked = { readonly now: EpochMs; readonly index: StateIndex };

function rowOf(pair: Pair, side: Side, { now, index }: Looked): StockRow {
  const found: Workload | undefined = side === "source" ? pair.source : pair.replica;
  const unknown = found && awayText(found, index[side]);
  if (unknown !== undefined) return { ...nothingOf(pair, side), exists: true, unknown };
  if (isIso(pair.source)) return isoRowOf(pair, side, found, taken(isoImage(pair.source)));
  const own = byAge(found?.snapshots ?? []).filter(({ name }) => isOwnSnapshotName(name));
  const newest = taken(own.at(-1));
  const proven = side === "target" ? taken(own.find(({ name }) => name === found?.config[MARKS.last])) : undefined;
  const measured = side === "source" ? newest : proven;
  const keeps = side === "target" && pair.job.history === "keep";
  return {
    ...nothingOf(pair, side),
    exists: found !== undefined,
    newest,
    proven,
    lagMs: measured === undefined ? undefined : Math.max(0, now - measured.at),
    lost: found !== undefined && keeps ? (rememberedHistory(found)?.lost ?? []) : [],
    own: own.length,
    foreign: (found?.snapshots.length ?? 0) - own.length,
  };
}

/** An image that does not change is never behind. */
function isoRowOf(pair: Pair, side: Side, found: Workload | undefined, image: Taken | undefined): StockRow {
  const isHeld = side === "source" || (image !== undefined && found?.config[MARKS.last] === image.name);
  return {
    ...nothingOf(pair, side),
    exists: found !== undefined,
    newest: isHeld ? image : undefined,
    proven: isHeld && side === "target" ? image : undefined,
  };
}

function nothingOf({ job }: Pair, side: Side): StockRow {
  return {
    workload: job.source,
    side,
    unit: unitOn(job, side),
    exists: false,
    unknown: undefined,
    newest: undefined,
    proven: undefined,
    lagMs: undefined,
    lost: [],
    own: 0,
    foreign: 0,
    sizeBytes: undefined,
  };
}

function taken(snapshot: Snapshot | undefined): Taken | undefined {
  return snapshot && { name: snapshot.name, at: snapshot.createdAt };
}

function uncoveredOnSource({ instances, volumes }: ServerIndex, pairs: readonly Pair[]): Uncovered[] {
  const covered = new Set(pairs.map(({ job }) => unitId(job.source)));
  return [...instances.values(), ...volumes.values()]
    .filter((workload) => !covered.has(unitId(workload)))
    .map((workload) => ({ side: "source", unit: unitOf(workload), why: "the configuration does not name it" }));
}

/** Replicas that we made of this source, and that nothing refreshes any more. */
function orphansOnTarget(
  { instances, volumes }: ServerIndex,
  pairs: readonly Pair[],
  { known, host }: { readonly known: ReadonlySet<string>; readonly host: string },
): Uncovered[] {
  const covered = new Set(pairs.map(({ job }) => unitId(job.target)));
  return [...instances.values(), ...volumes.values()].flatMap((workload) => {
    const mark = workload.config[MARKS.source];
    if (mark === undefined || !mark.startsWith(`${host}:`) || covered.has(unitId(workload))) return [];
    const why = known.has(mark)
      ? `it is a replica of ${mark}, which goes elsewhere`
      : `it is a replica of ${mark}, which the configuration does not name`;
    return [{ side: "target", unit: unitOf(workload), why }];
  });
}

function unitOf(workload: Workload): Unit {
  const { project, name } = workload;
  if (workload.kind === "instance") return { kind: "instance", project, name };
  return { kind: "volume", project, pool: workload.pool, name };
}
