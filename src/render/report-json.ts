import { AgentError } from "../model/errors.ts";
import type { Outcome, Outcomes, Report } from "../model/outcome.ts";
import type { Plan, Step } from "../model/plan.ts";
import { rfc3339 } from "../model/time.ts";
import { unitId } from "../model/unit.ts";
import { skippedJson, warningJson } from "./plan-json.ts";
import { isRetraction } from "./step-lines.ts";

/** A report for programs. Its shape is part of the interface and grows by addition. */
export function reportJson({ plan, outcomes, startedAt, endedAt, exitCode }: Report): Record<string, unknown> {
  return {
    version: 1,
    run: plan.run,
    startedAt: rfc3339(startedAt),
    endedAt: rfc3339(endedAt),
    exitCode,
    hosts: plan.hosts,
    outcomes: plan.steps.map((step) => outcomeJson(step, outcomes.get(step.id))),
    skipped: plan.skipped.map(skippedJson),
    warnings: plan.warnings.map(warningJson),
    totals: totalsOf(plan, outcomes),
  };
}

function outcomeJson({ id, kind, workload }: Step, outcome: Outcome | undefined): Record<string, unknown> {
  const head = { id, kind, workload: unitId(workload), state: outcome?.state ?? "cancelled" };
  switch (outcome?.state) {
    case "done":
      return { ...head, bytes: outcome.bytes, removed: outcome.removed };
    case "failed":
      return { ...head, error: errorJson(outcome.error) };
    case "skipped":
      return { ...head, because: outcome.because };
    default:
      return head;
  }
}

/** An error for programs. */
export function errorJson(error: unknown): Record<string, unknown> {
  if (error instanceof AgentError) return { code: error.code, message: error.message, hint: error.hint };
  return { code: "bug", message: error instanceof Error ? error.message : String(error) };
}

export type Totals = {
  readonly snapshots: number;
  readonly copies: number;
  readonly bytes: number;
  readonly pruned: number;
};

/** What a run has really done. */
export function totalsOf({ steps }: Plan, outcomes: Outcomes): Totals {
  const done = steps.filter(({ id }) => outcomes.get(id)?.state === "done");
  const outcomeOf = ({ id }: Step) => {
    const outcome = outcomes.get(id);
    return outcome?.state === "done" ? outcome : undefined;
  };
  return {
    snapshots: done.filter(({ kind }) => kind === "snapshot").length,
    copies: done.filter(({ kind }) => kind === "copy" || kind === "reseed").length,
    bytes: done.reduce((sum, step) => sum + (outcomeOf(step)?.bytes ?? 0), 0),
    pruned: done.reduce(
      (sum, step) =>
        sum + (step.kind === "prune" && !isRetraction(step) ? removedBy(step, outcomeOf(step)?.removed) : 0),
      0,
    ),
  };
}

function removedBy({ removals }: Extract<Step, { kind: "prune" }>, removed: readonly string[] | undefined): number {
  return removed?.length ?? removals.length;
}
