import type { Progress } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { Outcome, Outcomes } from "../model/outcome.ts";
import type { Plan, Step, StepId } from "../model/plan.ts";
import { type Lane, openLane } from "./lane.ts";

/** What a step that is done has to tell. */
export type Done = Omit<Extract<Outcome, { state: "done" }>, "state">;

/** Carries one step out, or throws why it could not. */
export type Act = (step: Step, onProgress: (progress: Progress) => void, signal: AbortSignal) => Promise<Done>;

/** Hears how the work goes. */
export type Observer = {
  began(step: Step): void;
  progressed(step: Step, progress: Progress): void;
  ended(step: Step, outcome: Outcome): void;
};

export type ExecuteOptions = {
  readonly act: Act;
  readonly observer: Observer;
  /** Transfers at a time; all other steps go wider. */
  readonly concurrency: number;
};

const WIDE = 16;

// What an earlier run left stopped is started first. Then all snapshots are taken at once, so that they show the same
// moment, and only then is anything sent that they need not wait for.
const WAVES = [0, 1, 2] as const;
type Wave = (typeof WAVES)[number];

function waveOf({ kind }: Step): Wave {
  if (kind === "recover") return 0;
  return kind === "snapshot" ? 1 : 2;
}

/** Carries a plan out: each step once what it needs is done, and an outcome for every step. */
export async function executePlan(plan: Plan, options: ExecuteOptions, signal: AbortSignal): Promise<Outcomes> {
  const outcomes = new Map<StepId, Promise<Outcome>>();
  const transfers = openLane(options.concurrency);
  const others = openLane(Math.max(WIDE, options.concurrency));
  const waves = wavesOf(plan.steps);
  for (const wave of WAVES) {
    for (const step of inOrderOfNeeds(plan.steps.filter((each) => waves.get(each.id) === wave))) {
      const lane = step.kind === "copy" || step.kind === "reseed" ? transfers : others;
      outcomes.set(step.id, inTurn(step, outcomes, lane, options, signal));
    }
    await Promise.all(outcomes.values());
  }
  return new Map(await Promise.all(plan.steps.map(async ({ id }) => [id, await outcomeOf(id, outcomes)] as const)));
}

async function inTurn(
  step: Step,
  outcomes: ReadonlyMap<StepId, Promise<Outcome>>,
  lane: Lane,
  options: ExecuteOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const needed = await Promise.all(step.needs.map(async (id) => ({ id, outcome: await outcomeOf(id, outcomes) })));
  const blocker = needed.find(({ outcome }) => outcome.state !== "done");
  const outcome = await (blocker === undefined
    ? lane(() => executeStep(step, options, signal))
    : ({ state: "skipped", because: blocker.id } satisfies Outcome));
  options.observer.ended(step, outcome);
  return outcome;
}

async function executeStep(step: Step, { act, observer }: ExecuteOptions, signal: AbortSignal): Promise<Outcome> {
  if (signal.aborted) return { state: "cancelled" };
  observer.began(step);
  try {
    return { state: "done", ...(await act(step, (progress) => observer.progressed(step, progress), signal)) };
  } catch (error) {
    // Whatever a cancelled step throws, it was cancelled; but an instance that stays down must be heard of.
    const mustBeHeard = error instanceof AgentError && error.code === "instance.down";
    return signal.aborted && !mustBeHeard ? { state: "cancelled" } : { state: "failed", error };
  }
}

function outcomeOf(id: StepId, outcomes: ReadonlyMap<StepId, Promise<Outcome>>): Promise<Outcome> {
  const outcome = outcomes.get(id);
  if (outcome === undefined) throw new Error(`Step ${id} is needed before it can have begun`);
  return outcome;
}

// What is needed belongs into the wave of who needs it, if that is an earlier one.
function wavesOf(steps: readonly Step[]): Map<StepId, Wave> {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const waves = new Map<StepId, Wave>();
  const place = (step: Step, wave: Wave): void => {
    if ((waves.get(step.id) ?? Number.POSITIVE_INFINITY) <= wave) return;
    waves.set(step.id, wave);
    for (const needed of step.needs.flatMap((id) => byId.get(id) ?? [])) place(needed, wave);
  };
  for (const step of steps) place(step, waveOf(step));
  return waves;
}

// A step that is needed comes before who needs it; else the order is the plan's.
function inOrderOfNeeds(steps: readonly Step[]): Step[] {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const ordered = new Set<Step>();
  const visit = (step: Step, above: readonly StepId[]): void => {
    if (above.includes(step.id)) throw new Error(`Steps need each other: ${[...above, step.id].join(", ")}`);
    for (const needed of step.needs.flatMap((id) => byId.get(id) ?? [])) visit(needed, [...above, step.id]);
    ordered.add(step);
  };
  for (const step of steps) visit(step, []);
  return [...ordered];
}
