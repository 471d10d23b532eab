import type { Outcome, Report } from "../model/outcome.ts";
import type { Step } from "../model/plan.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import { countText, durationText, sizeText } from "./amounts.ts";
import { errorLines } from "./error-lines.ts";
import { hanging, type Look, paint } from "./look.ts";
import { noticeBlocks } from "./plan-text.ts";
import { totalsOf } from "./report-json.ts";
import { isRetraction, stepVerb } from "./step-lines.ts";
import { type Column, tableText } from "./table.ts";

/** A report for people: a line for each workload, what failed and why, and what it came to. */
export function reportText(report: Report, look: Look): string {
  const { plan } = report;
  const rows = rowsOf(report);
  const troubles = plan.steps.flatMap((step) => troubleLines(step, report.outcomes.get(step.id), look));
  const blocks = [
    [paint(`Run ${plan.run}: ${plan.hosts.source} to ${plan.hosts.target}`, "bold", look)],
    ...(rows.length === 0 ? [] : [[tableText(columnsFor(look), rows).trimEnd()]]),
    ...(troubles.length === 0 ? [] : [[paint("Not done", "bold", look), ...troubles]]),
    ...noticeBlocks(plan, look),
    [summary(report)],
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

type Row = { readonly workload: string; readonly steps: readonly Done[] };
type Done = { readonly step: Step; readonly outcome: Outcome | undefined };

function rowsOf({ plan, outcomes }: Report): Row[] {
  const rows = new Map<string, { readonly workload: string; readonly steps: Done[] }>();
  for (const step of plan.steps) {
    const id = unitId(step.workload);
    const row = rows.get(id) ?? { workload: unitLabel(step.workload), steps: [] };
    row.steps.push({ step, outcome: outcomes.get(step.id) });
    rows.set(id, row);
  }
  return [...rows.values()];
}

const COPYING: readonly Step["kind"][] = ["rehearse", "rename", "grow", "adopt", "stand-in", "mend", "copy", "reseed"];

function columnsFor(look: Look): Column<Row>[] {
  const state = (row: Row, kinds: readonly Step["kind"][]) => stateText(row.steps, kinds, look);
  return [
    { title: "WORKLOAD", cell: ({ workload }) => workload },
    { title: "SNAPSHOT", cell: (row) => state(row, ["recover", "snapshot"]) },
    { title: "COPY", cell: (row) => state(row, COPYING) },
    { title: "SENT", cell: ({ steps }) => sentText(steps), align: "right" },
    { title: "PRUNED SOURCE", cell: ({ steps }) => prunedText(steps, "source"), align: "right" },
    { title: "PRUNED TARGET", cell: ({ steps }) => prunedText(steps, "target"), align: "right" },
  ];
}

/** The worst that became of the steps of these kinds. */
function stateText(steps: readonly Done[], kinds: readonly Step["kind"][], look: Look): string {
  const states = steps
    .filter(({ step }) => kinds.includes(step.kind))
    .map(({ outcome }) => outcome?.state ?? "cancelled");
  if (states.includes("failed")) return paint("FAILED", "red", look);
  if (states.includes("skipped")) return paint("SKIPPED", "yellow", look);
  if (states.includes("cancelled")) return paint("CANCELLED", "yellow", look);
  return states.length === 0 ? "-" : paint("DONE", "green", look);
}

function sentText(steps: readonly Done[]): string {
  const bytes = steps.flatMap(({ outcome }) => (outcome?.state === "done" ? (outcome.bytes ?? []) : []));
  return bytes.length === 0 ? "" : sizeText(bytes.reduce((sum, each) => sum + each, 0));
}

function prunedText(steps: readonly Done[], side: string): string {
  const [found] = steps.flatMap(({ step, outcome }) =>
    step.kind === "prune" && step.side === side && !isRetraction(step) ? [{ step, outcome }] : [],
  );
  if (found === undefined) return "0";
  const { step, outcome } = found;
  const planned = step.removals.length;
  const removed = outcome?.state === "done" ? (outcome.removed?.length ?? planned) : 0;
  return removed === planned ? String(planned) : `${removed} of ${planned}`;
}

function troubleLines(step: Step, outcome: Outcome | undefined, look: Look): string[] {
  if (outcome?.state === "done") return [];
  const name = `${stepVerb(step)} ${unitLabel(step.workload)}${step.kind === "prune" ? ` on the ${step.side}` : ""}`;
  if (outcome?.state === "failed") {
    const [message, ...hints] = errorLines(outcome.error);
    const [first = "", ...rest] = hanging("  ", `${name}: ${message}`, look);
    return [paint(first, "red", look), ...rest, ...hints.flatMap((hint) => hanging("    ", hint, look))];
  }
  const why = outcome?.state === "skipped" ? `since ${outcome.because} was not done` : "the run was ended before";
  return hanging("  ", `${name}: ${why}`, look);
}

function summary({ plan, outcomes, startedAt, endedAt, exitCode }: Report): string {
  const { snapshots, copies, bytes, pruned } = totalsOf(plan, outcomes);
  const failed = plan.steps.filter(({ id }) => outcomes.get(id)?.state === "failed").length;
  return [
    countText(snapshots, "snapshot"),
    countText(copies, "copy", "copies"),
    ...(bytes > 0 ? [`${sizeText(bytes)} sent`] : []),
    `${pruned} pruned`,
    `${countText(failed, "step")} failed`,
    `${plan.skipped.length} left out`,
    countText(plan.warnings.length, "warning"),
    `${durationText(endedAt - startedAt)}`,
    `exit code ${exitCode}`,
  ].join(", ");
}
