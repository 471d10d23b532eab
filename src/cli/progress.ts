import type { Observer } from "../execute/execute-plan.ts";
import type { Progress } from "../model/copy.ts";
import type { Outcome } from "../model/outcome.ts";
import type { Plan, Step } from "../model/plan.ts";
import type { LogFacts, World } from "../model/ports.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";
import { unitLabel } from "../model/unit.ts";
import { progressText } from "../render/progress-text.ts";
import { stepVerb } from "../render/step-lines.ts";

const LOG_EVERY_MS = 10 * SECOND_MS;
const DRAW_EVERY_MS = 100;

/** Logs what becomes of each step, and shows meanwhile how far the work is unless it is to be `silent`. */
export function watchProgress(plan: Plan, world: World, options: { silent: boolean }): Observer {
  return watchSteps<Step, Progress>(world, {
    ...options,
    event: "run.progress",
    total: plan.steps.length,
    text: (step, progress) =>
      progress === undefined ? `${stepVerb(step)} ${unitLabel(step.workload)}` : progressText(step, progress),
    facts: (outcome: Outcome) =>
      outcome.state === "done" ? { bytes: outcome.bytes, removed: outcome.removed?.length } : {},
  });
}

type Ended =
  | { readonly state: "done" | "cancelled" }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "skipped"; readonly because: string };

type Watched<S, P, O> = {
  readonly silent: boolean;
  /** What the log calls a look at the work. */
  readonly event: string;
  readonly total: number;
  readonly text: (step: S, progress: P | undefined) => string;
  /** What the log tells of a step that is done. */
  readonly facts: (outcome: O) => LogFacts;
};

export type StepWatcher<S, P, O> = {
  began(step: S): void;
  progressed(step: S, progress: P): void;
  ended(step: S, outcome: O): void;
};

/** The same for steps of any kind. */
export function watchSteps<S extends { readonly id: string }, P, O extends Ended = Outcome>(
  { clock, log, terminal }: World,
  { silent, event, total, text, facts }: Watched<S, P, O>,
): StepWatcher<S, P, O> {
  const running = new Map<S, P | undefined>();
  let ended = 0;
  let toldAt: EpochMs = clock.now();

  const show = (everyMs: number, tell: () => void) => {
    if (silent || clock.now() - toldAt < everyMs) return;
    toldAt = clock.now();
    tell();
  };
  const texts = () => [...running].map(([step, progress]) => text(step, progress));
  const update = () => {
    const drawn = () => terminal.draw([`${ended}/${total} steps`, ...texts()].join(" | "));
    if (terminal.stderrIsTerminal) show(DRAW_EVERY_MS, drawn);
    else show(LOG_EVERY_MS, () => log.info(event, { ended, total, running: texts() }));
  };
  return {
    began: (step) => {
      running.set(step, undefined);
      log.debug("step.began", { step: step.id });
      update();
    },
    progressed: (step, progress) => {
      running.set(step, progress);
      update();
    },
    ended: (step, outcome) => {
      running.delete(step);
      ended += 1;
      logOutcome(step.id, outcome, facts(outcome), log);
      if (ended === total) terminal.draw("");
      else update();
    },
  };
}

function logOutcome(step: string, outcome: Ended, facts: LogFacts, log: World["log"]): void {
  switch (outcome.state) {
    case "done":
      log.info("step.done", { step, ...facts });
      return;
    case "failed":
      log.error("step.failed", { step, error: outcome.error });
      return;
    case "skipped":
      log.warn("step.skipped", { step, because: outcome.because });
      return;
    case "cancelled":
      log.warn("step.cancelled", { step });
  }
}
