import type { Plan, Skipped, Step, Warning } from "../model/plan.ts";
import type { Verdict } from "../model/policy.ts";
import { rfc3339 } from "../model/time.ts";
import { unitId } from "../model/unit.ts";

/** A plan for programs. Its shape is part of the interface and grows by addition. */
export function planJson(plan: Plan): Record<string, unknown> {
  return {
    version: 1,
    run: plan.run,
    at: rfc3339(plan.at),
    hosts: plan.hosts,
    steps: plan.steps.map(stepJson),
    skipped: plan.skipped.map(skippedJson),
    warnings: plan.warnings.map(warningJson),
  };
}

export function skippedJson({ workload, why, failed, hint }: Skipped): Record<string, unknown> {
  return { workload: unitId(workload), why, failed, hint };
}

export function warningJson({ code, workload, text }: Warning): Record<string, unknown> {
  return { code, workload: workload === undefined ? null : unitId(workload), text };
}

function stepJson(step: Step): Record<string, unknown> {
  const { id, kind, workload, needs } = step;
  return { id, kind, workload: unitId(workload), side: sideOf(step), needs, ...details(step) };
}

function sideOf(step: Step): string {
  if (step.kind === "prune") return step.side;
  return step.kind === "recover" || step.kind === "snapshot" ? "source" : "target";
}

function details(step: Step): Record<string, unknown> {
  switch (step.kind) {
    case "rehearse":
      return { ...transfer(step.copy), contentType: step.copy.create.contentType, between: step.between };
    case "recover":
      return { unit: unitId(step.unit) };
    case "snapshot":
      return {
        unit: unitId(step.unit),
        name: step.name,
        stop: step.stop,
        notBefore: step.notBefore === undefined ? undefined : rfc3339(step.notBefore),
      };
    case "rename":
      return { unit: unitId(step.unit), name: step.name };
    case "grow":
      return { unit: unitId(step.unit), size: step.size };
    case "adopt":
      return { unit: unitId(step.unit), ephemeral: step.lasting !== undefined };
    case "stand-in":
      return { profile: step.profile };
    case "mend":
      return { unit: unitId(step.copy.target), names: step.names };
    case "copy":
      return {
        ...transfer(step.copy),
        base: step.base ?? null,
        sends: step.sends,
        proof: step.proof,
        keeps: step.copy.keep.map(({ name }) => name),
        vanishes: step.vanishes,
        dropped: step.dropped,
      };
    case "reseed":
      return {
        ...transfer(step.copy),
        why: step.why,
        replaces: unitId(step.replaces),
        keepAs: step.keeps ? step.aside : null,
        proof: step.proof,
      };
    case "prune":
      return {
        unit: unitId(step.unit),
        removals: step.removals,
        onlyIfGoneFrom: step.onlyIfGoneFrom === undefined ? null : unitId(step.onlyIfGoneFrom),
        verdicts: step.verdicts.map(verdictJson),
      };
  }
}

function transfer({ mode, source, target, member }: Extract<Step, { kind: "copy" }>["copy"]): Record<string, unknown> {
  return { mode, from: unitId(source), to: unitId(target), member };
}

/** A verdict for programs, as `iab retention explain` prints it too. */
function verdictJson({ name, at, verdict, reasons }: Verdict): Record<string, unknown> {
  return { name, at: rfc3339(at), verdict, reasons };
}
