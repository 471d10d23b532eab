import type { Job } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { Skipped } from "../model/plan.ts";
import { isOwnSnapshotName } from "../model/snapshot.ts";
import type { State, Workload } from "../model/state.ts";
import type { Dated, SideStatus, Status, WorkloadStatus } from "../model/status.ts";
import type { EpochMs } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";
import { byAge } from "./compare-snapshots.ts";
import { indexState } from "./index-state.ts";
import { makePlan } from "./make-plan.ts";
import type { Orders } from "./orders.ts";
import { type Pair, pairUp } from "./pair-up.ts";

/** How it stands with every workload, judged by what the next run would do. */
export function statusOf(jobs: readonly Job[], state: State, orders: Orders): Status {
  const { steps, skipped, hosts, warnings } = makePlan(jobs, state, orders);
  const { pairs } = pairUp(jobs, indexState(state));
  const blocked = new Map(skipped.map((each) => [unitId(each.workload), each]));
  const found = pairs.map((pair) => statusOfPair(pair, blocked.get(unitId(pair.job.source)), orders.now));
  const known = new Set(pairs.map(({ job }) => unitId(job.source)));
  const missing = skipped.filter(({ workload }) => !known.has(unitId(workload)));
  const covered = new Set([...steps, ...skipped].map(({ workload }) => unitId(workload)));
  return {
    at: orders.now,
    hosts,
    workloads: [...found, ...missing.map(statusOfMissing)],
    uncovered: [...state.source.instances, ...state.source.volumes]
      .filter((each) => !covered.has(unitId(each)))
      .map(unitOf),
    warnings: warnings.map(({ text }) => text),
  };
}

function statusOfPair({ job, source, replica }: Pair, blocked: Skipped | undefined, now: EpochMs): WorkloadStatus {
  const proven = replica && provenOn(replica);
  const state = proven === undefined ? "never" : "ok";
  return {
    workload: job.source,
    target: job.target,
    state: blocked === undefined ? state : "blocked",
    why: blocked?.why,
    hint: blocked?.hint,
    sides: { source: sideStatus(source), target: replica && sideStatus(replica) },
    proven,
    lagMs: proven && Math.max(now - proven.at, 0),
  };
}

function statusOfMissing({ workload, why, hint }: Skipped): WorkloadStatus {
  return {
    workload,
    target: undefined,
    state: "blocked",
    why,
    hint,
    sides: { source: undefined, target: undefined },
    proven: undefined,
    lagMs: undefined,
  };
}

function provenOn({ config, snapshots }: Workload): Dated | undefined {
  const found = snapshots.find(({ name }) => name === config[MARKS.last]);
  return found && { name: found.name, at: found.createdAt };
}

function sideStatus({ snapshots }: Workload): SideStatus {
  const newest = byAge(snapshots).at(-1);
  const own = snapshots.filter(({ name }) => isOwnSnapshotName(name)).length;
  const sizes = snapshots.flatMap(({ sizeBytes }) => sizeBytes ?? []);
  const isSized = snapshots.length > 0 && sizes.length === snapshots.length;
  return {
    newest: newest && { name: newest.name, at: newest.createdAt },
    own,
    foreign: snapshots.length - own,
    sizeBytes: isSized ? sizes.reduce((sum, each) => sum + each, 0) : undefined,
  };
}

/** The address alone, without what else is known of a workload. */
function unitOf(workload: Workload): Unit {
  const { project, name } = workload;
  return workload.kind === "instance"
    ? { kind: "instance", project, name }
    : { kind: "volume", project, pool: workload.pool, name };
}
