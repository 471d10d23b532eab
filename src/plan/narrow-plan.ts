import { AgentError } from "../model/errors.ts";
import type { Plan, Step } from "../model/plan.ts";
import { isMeant } from "../model/workload-name.ts";

/** The part of a plan that concerns the workloads that were named, with all that this part needs; no names mean all. */
export function narrowPlan(plan: Plan, names: readonly string[]): Plan {
  if (names.length === 0) return plan;
  const workloads = [...plan.steps, ...plan.skipped].map(({ workload }) => workload);
  const unknown = names.find((name) => !workloads.some((unit) => isMeant(unit, name)));
  if (unknown !== undefined) {
    throw new AgentError("usage", `Cannot find ${unknown}: no workload of the configuration is called so`, {
      hint: "iab plan lists them; iab --help lists the commands",
    });
  }
  const meant = (part: { readonly workload: Step["workload"] | undefined }) =>
    part.workload !== undefined && names.some((name) => isMeant(part.workload as Step["workload"], name));
  return {
    ...plan,
    steps: withNeeded(plan.steps, plan.steps.filter(meant)),
    skipped: plan.skipped.filter(meant),
    warnings: plan.warnings.filter(meant),
  };
}

function withNeeded(all: readonly Step[], wanted: readonly Step[]): Step[] {
  const byId = new Map(all.map((step) => [step.id, step]));
  const kept = new Set<Step>();
  const keep = (step: Step): void => {
    if (kept.has(step)) return;
    kept.add(step);
    for (const id of step.needs) {
      const needed = byId.get(id);
      if (needed !== undefined) keep(needed);
    }
  };
  for (const step of wanted) keep(step);
  return all.filter((step) => kept.has(step));
}
