import type { Plan, Skipped, Step, Warning } from "../model/plan.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import { countText } from "./amounts.ts";
import { hanging, type Look, paint } from "./look.ts";
import { isRetraction, stepLines, stepVerb } from "./step-lines.ts";

const VERB_WIDTH = 11;

/** A plan for people: each workload with all that will happen to it, then what is left out, then what to know. */
export function planText(plan: Plan, look: Look): string {
  const head = `Run ${plan.run}: ${plan.hosts.source} to ${plan.hosts.target}`;
  const blocks = [
    [paint(head, "bold", look)],
    ...[...byWorkload(plan.steps).values()].map((steps) => workloadLines(steps, plan, look)),
    ...noticeBlocks(plan, look),
    [planSummary(plan)],
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** What is left out and what a person should know, below titles of their own; nothing where there is nothing. */
export function noticeBlocks({ skipped, warnings }: Pick<Plan, "skipped" | "warnings">, look: Look): string[][] {
  return [
    ...(skipped.length === 0
      ? []
      : [[paint("Left out", "bold", look), ...skipped.flatMap((each) => skippedLines(each, look))]]),
    ...(warnings.length === 0
      ? []
      : [[paint("Warnings", "bold", look), ...warnings.flatMap((each) => warningLines(each, look))]]),
  ];
}

function byWorkload(steps: readonly Step[]): Map<string, Step[]> {
  const found = new Map<string, Step[]>();
  for (const step of steps) {
    const id = unitId(step.workload);
    const known = found.get(id);
    if (known === undefined) found.set(id, [step]);
    else known.push(step);
  }
  return found;
}

function workloadLines(steps: readonly Step[], plan: Plan, look: Look): string[] {
  const [first] = steps;
  const title = first === undefined ? "" : titleOf(first.workload);
  return [paint(title, "cyan", look), ...steps.flatMap((step) => linesOf(step, plan, look))];
}

function titleOf(unit: Unit): string {
  return unit.kind === "instance" ? unitLabel(unit) : `${unitLabel(unit)} (volume)`;
}

function linesOf(step: Step, plan: Plan, look: Look): string[] {
  const [text, ...below] = stepLines(step, plan);
  const head = `  ${stepVerb(step).padEnd(VERB_WIDTH)}`;
  const [first = "", ...rest] = hanging(head, text, look);
  const verb = paint(first.slice(0, head.length), step.kind === "prune" ? "yellow" : "green", look);
  const indent = " ".repeat(head.length + 2);
  return [verb + first.slice(head.length), ...rest, ...below.flatMap((line) => hanging(indent, line, look))];
}

function skippedLines({ workload, why, failed, hint }: Skipped, look: Look): string[] {
  const [first = "", ...rest] = hanging("  ", `${titleOf(workload)}: ${why}`, look);
  return [
    paint(first, failed ? "red" : "yellow", look),
    ...rest,
    ...(hint === undefined ? [] : hanging("    ", hint, look)),
  ];
}

function warningLines({ code, text }: Warning, look: Look): string[] {
  return hanging("  ", `${text} (${code})`, look);
}

function planSummary({ steps, skipped, warnings }: Plan): string {
  const of = (kind: Step["kind"]) => steps.filter((step) => step.kind === kind).length;
  const firsts = steps.filter((step) => step.kind === "copy" && step.base === undefined).length;
  const deletions = (side: string) =>
    steps.reduce((sum, step) => {
      const counts = step.kind === "prune" && step.side === side && !isRetraction(step);
      return counts ? sum + step.removals.length : sum;
    }, 0);
  return [
    countText(of("snapshot"), "snapshot"),
    `${countText(of("copy") + of("reseed"), "copy", "copies")}${firsts > 0 ? ` (${firsts} for the first time)` : ""}`,
    `${countText(deletions("source"), "deletion")} on the source`,
    `${deletions("target")} on the target`,
    `${skipped.length} left out`,
    countText(warnings.length, "warning"),
  ].join(", ");
}
