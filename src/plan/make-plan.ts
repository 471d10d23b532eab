import { type Job, SIDES } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { Plan, Step, StepId, Warning } from "../model/plan.ts";
import type { State, Workload } from "../model/state.ts";
import { unitId, unitLabel, type VolumeUnit } from "../model/unit.ts";
import { chooseRoute } from "./choose-route.ts";
import { leftoversOf } from "./fresh-name.ts";
import { indexState, type StateIndex } from "./index-state.ts";
import { sourceMark } from "./judge-replica.ts";
import type { CopyContext } from "./make-copy.ts";
import { checkNames, type Orders } from "./orders.ts";
import { type Pair, pairUp } from "./pair-up.ts";
import { placeReplicas } from "./place-replicas.ts";
import { planWorkload, type Routed } from "./plan-workload.ts";
import { type Keeper, rehearsalsOf, scratchLeftovers } from "./rehearsals.ts";
import { standInsOf } from "./stand-ins.ts";

/**
 * Everything that a run will do, decided at once from one look at both servers: what is snapshotted, sent, deleted and
 * left out, each with its reason. A dry run prints it, a run carries it out.
 */
export function makePlan(jobs: readonly Job[], state: State, orders: Orders): Plan {
  const index = indexState(state);
  const { pairs, skipped, warnings } = pairUp(jobs, index);
  checkNames(orders, [...pairs.map(({ job }) => job.source), ...skipped.map(({ workload }) => workload)]);
  const leftovers = leftoversOf(index.target);
  const routes = volumesFirst(pairs).map((pair) => ({
    pair,
    route: chooseRoute(pair, { index, orders, leftovers }),
  }));
  const placed = placeReplicas(routes, index);
  const context: CopyContext = { index, orders, volumeTargets: volumeTargets(routes, index), members: placed.members };
  const copyIds = copyIdsOf(routes);
  const works = routes.map((routed) => planWorkload(routed, copyIds, context));
  const rehearsals = rehearsalsOf(keepersOf(routes), index);
  const standIns = standInsOf(routes, index);
  const bind = (step: Step) => standIns.bind(rehearsals.bind(step));
  const renamed = new Set(
    routes.flatMap(({ route }) => (route.kind === "copy" && route.renames ? [unitId(route.renames)] : [])),
  );
  return {
    run: orders.run,
    at: orders.now,
    hosts: { source: index.source.facts.host, target: index.target.facts.host },
    // All snapshots first: they belong together, and transfers may take hours.
    steps: [
      ...rehearsals.steps,
      ...standIns.steps,
      ...works.flatMap(({ snapshots }) => snapshots).map(bind),
      ...works.flatMap(({ rest }) => rest).map(bind),
    ],
    skipped: [...skipped, ...works.flatMap(({ skipped }) => skipped)],
    warnings: [
      ...warnings,
      ...placed.warnings,
      ...standIns.warnings,
      ...works.flatMap(({ warnings }) => warnings),
      ...leftStopped(index, pairs),
      ...SIDES.flatMap((side) => scratchLeftovers(state[side], side, rehearsals.steps)),
      ...leftovers.filter((each) => !renamed.has(unitId(each))).map(leftover),
    ],
  };
}

/** Instances attach volumes, so these come first. */
function volumesFirst(pairs: readonly Pair[]): Pair[] {
  const of = (kind: Pair["kind"]) => pairs.filter((pair) => pair.kind === kind);
  return [...of("volume"), ...of("instance")];
}

/** The workloads whose history is kept. */
function keepersOf(routes: readonly Routed[]): Keeper[] {
  return routes.flatMap(({ pair, route }) =>
    pair.job.history === "keep" && route.kind !== "none" ? [{ pair, pool: route.pool }] : [],
  );
}

/** Where the replica of each volume is or will be, for the devices of the instances that use it. */
function volumeTargets(routes: readonly Routed[], index: StateIndex): Map<string, VolumeUnit> {
  const ours = ({ pair, route }: Routed) =>
    route.kind !== "none" || pair.replica?.config[MARKS.source] === sourceMark(pair, index);
  return new Map(
    routes.flatMap((routed) =>
      routed.pair.kind === "volume" && ours(routed)
        ? [[unitId(routed.pair.job.source), routed.pair.job.target] as const]
        : [],
    ),
  );
}

/** The step that brings each workload to the target. */
function copyIdsOf(routes: readonly Routed[]): Map<string, StepId> {
  return new Map(
    routes.flatMap(({ pair, route }) => {
      const id = unitId(pair.job.source);
      return route.kind === "none" ? [] : [[id, `${route.kind}:${id}`] as const];
    }),
  );
}

/** Instances that an earlier run stopped and that this configuration does not know. */
function leftStopped({ source }: StateIndex, pairs: readonly Pair[]): Warning[] {
  const known = new Set(pairs.map((pair) => unitId(pair.job.source)));
  return [...source.instances.values()]
    .filter((instance) => instance.config[MARKS.stopped] !== undefined && !known.has(unitId(instance)))
    .map((instance) => ({
      code: "instance.left-stopped",
      workload: undefined,
      text: `${unitLabel(instance)} was stopped by run ${instance.config[MARKS.stopped]} and may not have been started again; this configuration does not name it`,
    }));
}

/** A fresh copy that never took its replica's place. */
function leftover(workload: Workload): Warning {
  const remove = workload.kind === "instance" ? "delete" : `storage volume delete ${workload.pool}`;
  return {
    code: "reseed.leftover",
    workload: undefined,
    text: `${unitLabel(workload)} on the target is left from a reseed that did not end. If it is not wanted: incus ${remove} ${workload.name} --project ${workload.project}`,
  };
}
