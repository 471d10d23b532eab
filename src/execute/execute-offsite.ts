import { AgentError, type ErrorCode } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import type {
  BackUpStep,
  HoldStep,
  OffsiteOutcome,
  OffsiteOutcomes,
  OffsitePlan,
  OffsiteStep,
  PartProgress,
  RestartStep,
} from "../model/offsite-plan.ts";
import type { StepId } from "../model/plan.ts";
import type { Archive, Reader, Server } from "../model/ports.ts";
import { type ReadingPlace, subjectId } from "../model/reading.ts";
import { isHeld } from "./await-lock.ts";
import { backUpSubject } from "./back-up-subject.ts";
import { type Held, type HoldTools, holdPlace } from "./hold-place.ts";
import { startAgain } from "./start-again.ts";

export type OffsiteTools = Pick<HoldTools, "clock" | "log" | "lock"> & {
  readonly archive: Archive;
  /** The same reader for the same place each time. */
  readonly reader: (place: ReadingPlace) => Reader;
  readonly server: (side: Side) => Server;
};

/** Hears how the work goes. */
export type OffsiteObserver = {
  began(step: OffsiteStep): void;
  progressed(step: OffsiteStep, progress: PartProgress): void;
  ended(step: OffsiteStep, outcome: OffsiteOutcome): void;
};

/** What is wrong with the archive itself: no other workload would fare better, after minutes of waiting each. */
const OF_THE_ARCHIVE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "kopia.password",
  "kopia.unreachable",
  "kopia.certificate",
  "kopia.host-key",
  "kopia.clock",
  "kopia.denied",
  "kopia.empty",
  "kopia.no-bucket",
  "kopia.foreign",
  "kopia.full",
  "kopia.silent",
]);

/** Whether an error is that of the archive, rather than of what was to be put into it. */
export function isOfArchive(error: unknown): boolean {
  return error instanceof AgentError && OF_THE_ARCHIVE.has(error.code);
}

type Done = Omit<Extract<OffsiteOutcome, { state: "done" }>, "state">;

/** A plan on its way: what became of its steps so far, and what is held by which of them. */
type Walk = {
  readonly plan: OffsitePlan;
  readonly tools: OffsiteTools;
  readonly observer: OffsiteObserver;
  readonly signal: AbortSignal;
  readonly outcomes: Map<StepId, OffsiteOutcome>;
  readonly held: Map<StepId, Held>;
};

/**
 * Carries an offsite plan out, with an outcome for every step. One workload after the other goes into the archive, which
 * keeps every processor busy with one; whatever happens, all that was held is given up.
 */
export async function executeOffsite(
  plan: OffsitePlan,
  tools: OffsiteTools,
  observer: OffsiteObserver,
  signal: AbortSignal,
): Promise<OffsiteOutcomes> {
  const walk: Walk = { plan, tools, observer, signal, outcomes: new Map(), held: new Map() };
  const all = (...kinds: OffsiteStep["kind"][]) => plan.steps.filter(({ kind }) => kinds.includes(kind));
  for (const step of [...all("sweep"), ...all("restart")]) await attempt(step, walk);
  try {
    await Promise.all(all("hold").map((step) => attempt(step, walk)));
    for (const step of all("back-up", "release")) await attempt(step, walk);
  } finally {
    for (const step of all("release")) if (!walk.outcomes.has(step.id)) await attempt(step, walk);
  }
  for (const step of [...all("retention"), ...all("maintenance")]) await attempt(step, walk);
  return walk.outcomes;
}

async function attempt(step: OffsiteStep, walk: Walk): Promise<void> {
  const outcome = await outcomeOf(step, walk);
  walk.outcomes.set(step.id, outcome);
  walk.observer.ended(step, outcome);
}

async function outcomeOf(step: OffsiteStep, walk: Walk): Promise<OffsiteOutcome> {
  const { signal, observer } = walk;
  const blocker = blockerOf(step, walk);
  // What is held is given up whether or not the run is to end.
  if (signal.aborted && (step.kind !== "release" || blocker !== undefined)) return { state: "cancelled" };
  if (blocker !== undefined) return { state: "skipped", because: blocker };
  observer.began(step);
  const [worked] = await Promise.allSettled([carryOut(step, walk)]);
  return worked.status === "fulfilled" ? { state: "done", ...worked.value } : failureOf(worked.reason, signal);
}

/** The step without which this one makes no sense: what it reads is not held, or the archive itself has failed. */
function blockerOf(step: OffsiteStep, { held, outcomes, plan }: Walk): StepId | undefined {
  const missing = step.needs.find((id) => !held.has(id));
  if (missing !== undefined) return missing;
  if (!["back-up", "retention", "maintenance"].includes(step.kind)) return undefined;
  return plan.steps.find(({ id }) => {
    const outcome = outcomes.get(id);
    return outcome?.state === "failed" && isOfArchive(outcome.error);
  })?.id;
}

function failureOf(error: unknown, signal: AbortSignal): OffsiteOutcome {
  // Whatever a cancelled step throws, it was cancelled; but an instance that stays down must be heard of.
  const mustBeHeard = error instanceof AgentError && error.code === "instance.down";
  return signal.aborted && !mustBeHeard ? { state: "cancelled" } : { state: "failed", error };
}

async function carryOut(step: OffsiteStep, walk: Walk): Promise<Done> {
  const { plan, tools, signal } = walk;
  switch (step.kind) {
    case "sweep":
      return { removed: await tools.reader(step.place).sweep(plan.run.owner, signal) };
    case "restart":
      await restart(step, tools, signal);
      return {};
    case "hold":
      await hold(step, walk);
      return {};
    case "back-up":
      return backUp(step, walk);
    case "release":
      await heldBy(step, walk).release();
      return {};
    case "retention":
      return { removed: (await tools.archive.expire(signal)).map(({ description }) => description) };
    case "maintenance":
      return { maintained: await tools.archive.maintain(signal) };
  }
}

async function restart({ unit, place }: RestartStep, tools: OffsiteTools, signal: AbortSignal): Promise<void> {
  const [lock] = await Promise.allSettled([tools.lock(place, unit)]);
  if (lock.status === "rejected") {
    // Whoever has it stopped has it still, and starts it himself.
    if (isHeld(lock.reason)) return;
    throw lock.reason;
  }
  try {
    await startAgain(unit, { ...tools, server: tools.server(place.host) }, signal);
  } finally {
    await lock.value.release();
  }
}

async function hold(step: HoldStep, { plan, tools, signal, held }: Walk): Promise<void> {
  const reader = tools.reader(step.place);
  const server = tools.server(step.place.host);
  const holding = await holdPlace(step, { ...tools, reader, server, run: plan.run }, signal);
  held.set(step.id, holding);
  // An instance that stays down must be heard of. What is held is whole all the same, and is read.
  if (holding.down.length > 0) throw holding.down[0];
}

async function backUp(step: BackUpStep, walk: Walk): Promise<Done> {
  const { plan, tools, observer, signal } = walk;
  const holding = heldBy(step, walk);
  const failure = holding.failures.get(subjectId(step.subject));
  if (failure !== undefined) throw failure;
  const server = tools.server(step.place.host);
  const { reading, at } = holding;
  try {
    const backUpTools = { archive: tools.archive, server, reading, at, run: plan.run };
    const onProgress = (progress: PartProgress) => observer.progressed(step, progress);
    return { parts: await backUpSubject(step, backUpTools, onProgress, signal) };
  } finally {
    await holding.done(step.subject);
  }
}

function heldBy(step: OffsiteStep, { held }: Walk): Held {
  const holding = held.get(step.needs[0] ?? "");
  if (holding === undefined) throw new Error(`Step ${step.id} has nothing that it could read`);
  return holding;
}
