import type { BackUpStep, OffsiteOutcome, OffsiteReport, OffsiteStep } from "../model/offsite-plan.ts";
import { subjectId } from "../model/reading.ts";
import { DAY_MS, type EpochMs, rfc3339 } from "../model/time.ts";
import { agoText, countText, durationText, sizeText } from "./amounts.ts";
import { errorLines } from "./error-lines.ts";
import { hanging, type Look, paint } from "./look.ts";
import { offsiteNotices, offsiteVerb, placeText, subjectLabel, workloadOf } from "./offsite-lines.ts";
import { errorJson } from "./report-json.ts";
import { type Column, csvText, type Format, inFormat, tableText } from "./table.ts";

/** The report of an offsite run in the wanted format. */
export function offsiteReportText(format: Format, report: OffsiteReport, look: Look): string {
  return inFormat(format, {
    text: () => forPeople(report, look),
    data: () => offsiteReportJson(report),
    csv: () => csvText(csvColumns(report), report.plan.steps),
  });
}

/** The report of an offsite run for programs. Its shape is part of the interface and grows by addition. */
function offsiteReportJson(report: OffsiteReport): Record<string, unknown> {
  const { plan, outcomes, startedAt, endedAt, exitCode } = report;
  return {
    version: 1,
    run: plan.run.name,
    owner: plan.run.owner,
    startedAt: rfc3339(startedAt),
    endedAt: rfc3339(endedAt),
    exitCode,
    ended: report.ended,
    overdue: report.overdue.map(({ subject }) => subjectId(subject)),
    outcomes: plan.steps.map((step) => outcomeJson(step, outcomes.get(step.id))),
    skipped: plan.skipped,
    warnings: plan.warnings.map(({ code, what, text }) => ({ code, workload: what ?? null, text })),
    totals: totalsOf(report),
  };
}

function outcomeJson(step: OffsiteStep, outcome: OffsiteOutcome | undefined): Record<string, unknown> {
  const head = { id: step.id, kind: step.kind, workload: workloadOf(step), state: outcome?.state ?? "cancelled" };
  switch (outcome?.state) {
    case "done": {
      const { parts, removed, maintained } = outcome;
      const tidied = maintained && { ...maintained, lastAt: timeOrNull(maintained.lastAt) };
      return { ...head, parts, bytes: parts && bytesOf(outcome), removed, maintained: tidied };
    }
    case "failed":
      return { ...head, error: errorJson(outcome.error) };
    case "skipped":
      return { ...head, because: outcome.because };
    default:
      return head;
  }
}

function timeOrNull(at: EpochMs | undefined): string | null {
  return at === undefined ? null : rfc3339(at);
}

/** What a run has really put into the archive, and taken out of it. */
function totalsOf({ plan, outcomes }: OffsiteReport) {
  const of = (kind: OffsiteStep["kind"]) =>
    plan.steps.filter((step) => step.kind === kind).flatMap(({ id }) => outcomes.get(id) ?? []);
  const done = of("back-up").filter(({ state }) => state === "done");
  return {
    workloads: done.length,
    backups: done.reduce((sum, outcome) => sum + partsOf(outcome).length, 0),
    bytes: done.reduce((sum, outcome) => sum + bytesOf(outcome), 0),
    removed: of("retention").reduce((sum, each) => sum + (each.state === "done" ? (each.removed?.length ?? 0) : 0), 0),
  };
}

function partsOf(outcome: OffsiteOutcome | undefined) {
  return outcome?.state === "done" ? (outcome.parts ?? []) : [];
}

function bytesOf(outcome: OffsiteOutcome | undefined): number {
  return partsOf(outcome).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function csvColumns({ outcomes }: OffsiteReport): readonly Column<OffsiteStep>[] {
  return [
    { title: "ID", cell: ({ id }) => id },
    { title: "WORKLOAD", cell: (step) => workloadOf(step) ?? "" },
    { title: "STATE", cell: ({ id }) => outcomes.get(id)?.state ?? "cancelled" },
    {
      title: "ERROR",
      cell: ({ id }) => {
        const outcome = outcomes.get(id);
        return outcome?.state === "failed" ? errorLines(outcome.error)[0] : "";
      },
    },
  ];
}

function forPeople(report: OffsiteReport, look: Look): string {
  const { plan, outcomes } = report;
  const backUps = plan.steps.filter((step) => step.kind === "back-up");
  const troubles = plan.steps.flatMap((step) => troubleLines(step, report, look));
  const blocks = [
    [paint(`Offsite run ${plan.run.name} of ${plan.run.owner}`, "bold", look)],
    ...(backUps.length === 0 ? [] : [[tableText(columnsFor(report, look), backUps).trimEnd()]]),
    ...(troubles.length === 0 ? [] : [[paint("Not done", "bold", look), ...troubles]]),
    ...overdueLines(report, look),
    ...offsiteNotices(plan, look),
    ...plan.steps.flatMap((step) => tidyLines(step, outcomes.get(step.id), report.endedAt)),
    [summary(report)],
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function columnsFor({ outcomes }: OffsiteReport, look: Look): Column<BackUpStep>[] {
  return [
    { title: "WORKLOAD", cell: ({ subject }) => subjectLabel(subject) },
    { title: "READ BY", cell: ({ place }) => placeText(place) },
    { title: "STATE", cell: ({ id }) => stateText(outcomes.get(id), look) },
    {
      title: "PARTS",
      cell: ({ id }) =>
        partsOf(outcomes.get(id))
          .map(({ part }) => part)
          .join(", "),
    },
    { title: "SIZE", cell: ({ id }) => sizeOf(outcomes.get(id)), align: "right" },
  ];
}

function stateText(outcome: OffsiteOutcome | undefined, look: Look): string {
  const state = outcome?.state ?? "cancelled";
  return paint(state.toUpperCase(), state === "done" ? "green" : state === "failed" ? "red" : "yellow", look);
}

function sizeOf(outcome: OffsiteOutcome | undefined): string {
  return outcome?.state === "done" ? sizeText(bytesOf(outcome)) : "";
}

function troubleLines(step: OffsiteStep, { outcomes, ended }: OffsiteReport, look: Look): string[] {
  const outcome = outcomes.get(step.id);
  if (outcome?.state === "done") return [];
  const name = offsiteVerb(step);
  if (outcome?.state === "failed") {
    const [message, ...hints] = errorLines(outcome.error);
    const [first = "", ...rest] = hanging("  ", `${name}: ${message}`, look);
    return [paint(first, "red", look), ...rest, ...hints.flatMap((hint) => hanging("    ", hint, look))];
  }
  if (outcome?.state === "skipped") return hanging("  ", `${name}: since ${outcome.because} was not done`, look);
  const why =
    ended === "window" ? "the maintenance window closed before; the next run goes on" : "the run was ended before";
  return hanging("  ", `${name}: ${why}`, look);
}

function overdueLines({ overdue }: OffsiteReport, look: Look): string[][] {
  if (overdue.length === 0) return [];
  const names = overdue.map(({ subject }) => subjectLabel(subject)).join(", ");
  const text = `No whole backup for more than a week: ${names}. The window is too short for all that is chosen`;
  return [[paint("Overdue", "bold", look), ...hanging("  ", text, look)]];
}

/** Without it nothing that was removed ever frees its space. */
const OVERDUE_MS = 3 * DAY_MS;

function tidyLines(step: OffsiteStep, outcome: OffsiteOutcome | undefined, now: EpochMs): string[][] {
  const maintained = outcome?.state === "done" ? outcome.maintained : undefined;
  if (step.kind !== "maintenance" || maintained === undefined || maintained.done) return [];
  const { owner, lastAt } = maintained;
  const overdue = lastAt === undefined || now - lastAt > OVERDUE_MS ? `: see to it that ${owner} runs` : "";
  return [
    [
      `Tidying the repository up is the duty of ${owner}, last done ${lastAt === undefined ? "never" : agoText(lastAt, now)}${overdue}`,
    ],
  ];
}

function summary(report: OffsiteReport): string {
  const { plan, outcomes, startedAt, endedAt, exitCode } = report;
  const { workloads, bytes, removed } = totalsOf(report);
  const failed = plan.steps.filter(({ id }) => outcomes.get(id)?.state === "failed").length;
  return [
    `${countText(workloads, "workload")} backed up`,
    `${sizeText(bytes)} read`,
    `${countText(removed, "old backup")} removed`,
    `${countText(failed, "step")} failed`,
    `${plan.skipped.length} left out`,
    countText(plan.warnings.length, "warning"),
    durationText(endedAt - startedAt),
    `exit code ${exitCode}`,
  ].join(", ");
}
