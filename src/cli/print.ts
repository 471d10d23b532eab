import type { Report } from "../model/outcome.ts";
import type { Plan, Step } from "../model/plan.ts";
import { unitId } from "../model/unit.ts";
import type { Look } from "../render/look.ts";
import { planJson } from "../render/plan-json.ts";
import { planText } from "../render/plan-text.ts";
import { reportJson } from "../render/report-json.ts";
import { reportText } from "../render/report-text.ts";
import { type Column, csvText, inFormat } from "../render/table.ts";
import type { Context } from "./command.ts";

/** Prints a plan in the format that was asked for. */
export function printPlan(plan: Plan, { globals, world }: Context): void {
  const text = inFormat(globals.format, {
    text: () => planText(plan, lookOf(world)),
    data: () => planJson(plan),
    csv: () => csvText(STEP_COLUMNS, plan.steps),
  });
  world.print(text);
}

/**
 * Prints a report in the format that was asked for, and what was only decided and not carried out, if there is any. To
 * be quiet means to say nothing of a run in which all went well.
 */
export function printReport(report: Report, withheld: Plan | undefined, { globals, world }: Context): void {
  if (globals.quiet && report.exitCode === 0) return;
  const look = lookOf(world);
  const shown = withheld === undefined ? "" : `Only shown, not carried out:\n${planText(withheld, look)}\n`;
  const text = inFormat(globals.format, {
    text: () => shown + reportText(report, look),
    data: () => ({ ...reportJson(report), withheld: withheld && planJson(withheld) }),
    csv: () => csvText(outcomeColumns(report), report.plan.steps),
  });
  world.print(text);
}

/** How wide and how colourful stdout may be written. */
export function lookOf({ terminal, environment }: Context["world"]): Look {
  const plain = (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb";
  return { width: terminal.columns, colour: terminal.stdoutIsTerminal && !plain };
}

const STEP_COLUMNS: readonly Column<Step>[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "KIND", cell: ({ kind }) => kind },
  { title: "WORKLOAD", cell: ({ workload }) => unitId(workload) },
  { title: "NEEDS", cell: ({ needs }) => needs.join(" ") },
];

function outcomeColumns({ outcomes }: Report): readonly Column<Step>[] {
  return [
    { title: "ID", cell: ({ id }) => id },
    { title: "WORKLOAD", cell: ({ workload }) => unitId(workload) },
    { title: "STATE", cell: ({ id }) => outcomes.get(id)?.state ?? "" },
    {
      title: "ERROR",
      cell: ({ id }) => {
        const outcome = outcomes.get(id);
        if (outcome?.state !== "failed") return "";
        return outcome.error instanceof Error ? outcome.error.message : String(outcome.error);
      },
    },
  ];
}
