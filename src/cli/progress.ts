import type { Observer } from "../execute/execute-plan.ts";
import type { Progress } from "../model/copy.ts";
import type { Outcome } from "../model/outcome.ts";
import type { Plan, Step } from "../model/plan.ts";
import type { World } from "../model/ports.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";
import { unitLabel } from "../model/unit.ts";
import { progressText } from "../render/progress-text.ts";
import { stepVerb } from "../render/step-lines.ts";

const LOG_EVERY_MS = 10 * SECOND_MS;
const DRAW_EVERY_MS = 100;

/** Logs what becomes of each step, and shows meanwhile how far the work is unless it is to be `silent`. */
export function watchProgress(plan: Plan, { clock, log, terminal }: World, options: { silent: boolean }): Observer {
  const total = plan.steps.length;
  const running = new Map<Step, Progress | undefined>();
  let ended = 0;
  let toldAt: EpochMs = clock.now();

  const show = (everyMs: number, tell: () => void) => {
    if (options.silent || clock.now() - toldAt < everyMs) return;
    toldAt = clock.now();
    tell();
  };
  const update = () => {
    if (terminal.stderrIsTerminal) show(DRAW_EVERY_MS, () => terminal.draw(progressLine(ended, total, running)));
    else show(LOG_EVERY_MS, () => log.info("run.progress", { ended, total, running: [...running].map(stepText) }));
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
      logOutcome(step, outcome, log);
      if (ended === total) terminal.draw("");
      else update();
    },
  };
}

function logOutcome(step: Step, outcome: Outcome, log: World["log"]): void {
  switch (outcome.state) {
    case "done":
      log.info("step.done", { step: step.id, bytes: outcome.bytes, removed: outcome.removed?.length });
      return;
    case "failed":
      log.error("step.failed", { step: step.id, error: outcome.error });
      return;
    case "skipped":
      log.warn("step.skipped", { step: step.id, because: outcome.because });
      return;
    case "cancelled":
      log.warn("step.cancelled", { step: step.id });
  }
}

function progressLine(ended: number, total: number, running: ReadonlyMap<Step, Progress | undefined>): string {
  return [`${ended}/${total} steps`, ...[...running].map(stepText)].join(" | ");
}

function stepText([step, progress]: readonly [Step, Progress | undefined]): string {
  return progress === undefined ? `${stepVerb(step)} ${unitLabel(step.workload)}` : progressText(step, progress);
}
