import { MARKS } from "../model/marks.ts";
import type { Skipped, Step, StepId, Warning } from "../model/plan.ts";
import { isOwnSnapshotName, type Snapshot } from "../model/snapshot.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import type { Route } from "./choose-route.ts";
import { type CopyNeeds, copySteps, withKeptMark } from "./copy-steps.ts";
import type { StateIndex } from "./index-state.ts";
import { isIso, isoImage, isoStep } from "./iso-image.ts";
import { type Remembered, rememberedHistory } from "./kept-history.ts";
import type { CopyContext } from "./make-copy.ts";
import { isAway } from "./member-refusal.ts";
import type { Pair } from "./pair-up.ts";
import { type Pruning, pruneSteps } from "./prune-steps.ts";
import { reseedStep } from "./reseed-step.ts";
import { recoverStep, snapshotSteps } from "./snapshot-steps.ts";
import { usedVolumes } from "./used-volumes.ts";

/** A workload and the way that was chosen for it. */
export type Routed = { readonly pair: Pair; readonly route: Route };

/** What a run does for one workload. */
export type Work = {
  /** What is done before the transfers begin: the snapshots, and what these have to wait for. */
  readonly snapshots: readonly Step[];
  readonly rest: readonly Step[];
  readonly skipped: readonly Skipped[];
  readonly warnings: readonly Warning[];
};

/** Turns the chosen way into steps. `copyIds` names the step that brings each workload to the target. */
export function planWorkload(routed: Routed, copyIds: ReadonlyMap<string, StepId>, context: CopyContext): Work {
  const { pair, route } = routed;
  if (route.kind === "none") {
    const recover = pair.kind === "instance" ? recoverStep(pair.source) : undefined;
    const skipped = [{ workload: pair.job.source, failed: true, ...route.refusal }];
    return {
      snapshots: recover === undefined ? [] : [recover],
      rest: [],
      skipped,
      warnings: lossWarnings(pair, context.index),
    };
  }
  if (isIso(pair.source)) return isoWork(route, isoImage(pair.source), context);
  const { steps: snapshots, warnings, taken } = snapshotSteps(pair, context.orders);
  const taking = snapshots.filter(({ kind }) => kind === "snapshot").map(({ id }) => id);
  const needs = [...taking, ...volumeCopies(pair, copyIds, context.index)];
  const sending = sendingOf(route, { taken, needs }, context);
  const pruning = pruningOf(route, sending, taken, context);
  const removed = pruning.steps.flatMap(({ side, removals }) => (side === "target" ? removals : []));
  const remember = (step: Step) => (pair.job.history === "keep" ? remembering(step, removed) : step);
  return {
    snapshots: [...sending.ahead.map(remember), ...snapshots.map((step) => behind(step, sending.ahead))],
    rest: [...sending.steps.map(remember), ...pruning.steps],
    skipped: [],
    warnings: [
      ...lossWarnings(pair, context.index),
      ...refreshWarnings(route),
      ...warnings,
      ...sending.warnings,
      ...pruning.warnings,
    ],
  };
}

type Going = Exclude<Route, { readonly kind: "none" }>;

/** An image is sent as it is. It has no snapshots that could be listed, so that both servers' word must do. */
function isoWork(route: Going, taken: Snapshot, context: CopyContext): Work {
  const { steps, warnings } = sendingOf(route, { taken, needs: [] }, context);
  const rest = steps.map((step) => (step.kind === "copy" ? isoStep(step) : step));
  return { snapshots: [], rest, skipped: [], warnings };
}

type Sending = {
  /** What comes before this run's snapshot. */
  readonly ahead: readonly Step[];
  readonly steps: readonly Step[];
  readonly copyId: StepId;
  readonly after: readonly Snapshot[];
  readonly warnings: readonly Warning[];
};

function sendingOf(route: Going, { taken, needs }: CopyNeeds, context: CopyContext): Sending {
  if (route.kind === "copy") {
    const { ahead, steps, copy, after, warnings } = copySteps(route, { taken, needs }, context);
    return { ahead, steps, copyId: copy.id, after, warnings };
  }
  const { steps, reseed, after, warnings } = reseedStep(route, { taken, needs }, context);
  return { ahead: [], steps, copyId: reseed.id, after, warnings };
}

function behind(step: Step, ahead: readonly Step[]): Step {
  return step.kind === "snapshot" ? { ...step, needs: [...step.needs, ...ahead.map(({ id }) => id)] } : step;
}

function pruningOf(route: Going, { after, copyId }: Sending, taken: Snapshot, { orders }: CopyContext): Pruning {
  if (orders.withoutPruning) return { steps: [], warnings: [] };
  const { pair } = route;
  return pruneSteps({
    pair,
    after: { source: [...pair.source.snapshots, taken], target: after },
    // A snapshot that has to wait for its second is not one from the future.
    now: Math.max(orders.now, taken.createdAt),
    gapSafe: route.gapSafe,
    copyId,
  });
}

function remembering(step: Step, removed: readonly { readonly name: string }[]): Step {
  const names = removed.map(({ name }) => name);
  return step.kind === "copy" || step.kind === "reseed" ? withKeptMark(step, names) : step;
}

/** The copies of the volumes that an instance uses: what belongs together arrives together, the volumes first. */
function volumeCopies(pair: Pair, copyIds: ReadonlyMap<string, StepId>, { source }: StateIndex): StepId[] {
  if (pair.kind === "volume") return [];
  const ids = usedVolumes(pair.source, source).flatMap((volume) => copyIds.get(unitId(volume)) ?? []);
  return [...new Set(ids)];
}

/** Kept history that somebody has destroyed: a refresh by hand does, and it takes our marks off an instance as well. */
function lossWarnings({ job, replica }: Pair, { target }: StateIndex): Warning[] {
  if (job.history !== "keep" || replica === undefined || isAway(replica, target)) return [];
  const place = unitLabel(job.target);
  const warning = (text: string): Warning => ({ code: "history.lost", workload: job.source, text });
  const remembered = rememberedHistory(replica);
  if (remembered !== undefined) return remembered.lost.length === 0 ? [] : [warning(lossText(place, remembered))];
  if (replica.config[MARKS.source] !== undefined || !replica.snapshots.some(({ name }) => isOwnSnapshotName(name)))
    return [];
  return [
    warning(
      `${place} on the target bears no mark of ours: if it had one, somebody has refreshed it by hand, and the history that only the target had is lost`,
    ),
  ];
}

const NAMED = 10;

function lossText(place: string, { names, lost }: Remembered): string {
  const named = lost.slice(0, NAMED).join(", ");
  const more = lost.length > NAMED ? ` and ${lost.length - NAMED} more` : "";
  return `${place} on the target has lost ${lost.length} of the ${names.length} snapshots that the last run left there: ${named}${more}`;
}

/** What the refresh does, or leaves, to snapshots in a way that a person should know of. */
function refreshWarnings(route: Going): Warning[] {
  if (route.kind === "reseed") return [];
  const { job } = route.pair;
  const place = `${unitLabel(job.target)} on the target`;
  const warning = (code: Warning["code"], text: string): Warning => ({ code, workload: job.source, text });
  const vanishing =
    job.history === "keep" ? [] : route.comparison.targetOnly.filter(({ name }) => !isOwnSnapshotName(name));
  return [
    ...(vanishing.length === 0
      ? []
      : [
          warning(
            "snapshot.vanishes",
            `The refresh deletes ${namesOf(vanishing)} from ${place}, since the source no longer has it`,
          ),
        ]),
    ...(route.doubtful.length === 0
      ? []
      : [
          warning(
            "snapshot.unproven",
            `An earlier run did not live to prove ${route.doubtful.join(", ")} of ${place}. If a server went down with it, look into it there; iab run --reseed ${unitLabel(job.source)} makes a fresh copy`,
          ),
        ]),
  ];
}

function namesOf(snapshots: readonly Snapshot[]): string {
  return snapshots.map(({ name }) => name).join(", ");
}
