import type { BackUpStep, HoldStep, OffsitePlan, OffsiteStep } from "../model/offsite-plan.ts";
import { subjectId } from "../model/reading.ts";
import { rfc3339 } from "../model/time.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import { countText } from "./amounts.ts";
import { type Look, paint } from "./look.ts";
import { offsiteNotices, placeText, subjectKind, subjectLabel, workloadOf } from "./offsite-lines.ts";
import { type Column, csvText, type Format, inFormat, tableText } from "./table.ts";

/** An offsite plan in the wanted format: what goes into the archive, and how it is read. */
export function offsitePlanText(format: Format, plan: OffsitePlan, look: Look): string {
  return inFormat(format, {
    text: () => forPeople(plan, look),
    data: () => offsitePlanJson(plan),
    csv: () => csvText(STEP_COLUMNS, plan.steps),
  });
}

/** An offsite plan for programs. Its shape is part of the interface and grows by addition. */
function offsitePlanJson({ run, at, steps, skipped, warnings }: OffsitePlan): Record<string, unknown> {
  return {
    version: 1,
    run: run.name,
    owner: run.owner,
    at: rfc3339(at),
    steps: steps.map((step) => ({
      id: step.id,
      kind: step.kind,
      workload: workloadOf(step),
      needs: step.needs,
      ...details(step),
    })),
    skipped,
    warnings: warnings.map(({ code, what, text }) => ({ code, workload: what ?? null, text })),
  };
}

function details(step: OffsiteStep): Record<string, unknown> {
  switch (step.kind) {
    case "hold":
      return { ...place(step), workloads: step.subjects.map(subjectId), stop: step.stop.map(unitId) };
    case "back-up":
      return { ...place(step), type: subjectKind(step.subject), path: step.path };
    case "restart":
      return { ...place(step), unit: unitId(step.unit) };
    case "sweep":
    case "release":
      return place(step);
    case "retention":
    case "maintenance":
      return {};
  }
}

function place({ place: { read, host, root } }: { readonly place: BackUpStep["place"] }): Record<string, unknown> {
  return { read, side: host, root };
}

const STEP_COLUMNS: readonly Column<OffsiteStep>[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "KIND", cell: ({ kind }) => kind },
  { title: "WORKLOAD", cell: (step) => workloadOf(step) ?? "" },
  { title: "NEEDS", cell: ({ needs }) => needs.join(" ") },
];

function forPeople(plan: OffsitePlan, look: Look): string {
  const { steps, run } = plan;
  const backUps = steps.filter((step) => step.kind === "back-up");
  const stops = steps.filter((step): step is HoldStep => step.kind === "hold").flatMap(({ stop }) => stop);
  const restarts = steps.filter((step) => step.kind === "restart");
  const blocks = [
    [paint(`Offsite run ${run.name} of ${run.owner}`, "bold", look)],
    ...(backUps.length === 0 ? [] : [[tableText(COLUMNS, backUps).trimEnd()]]),
    ...restarts.map((step) => [`Starts ${unitLabel(step.unit)}, which an earlier run left stopped`]),
    ...(stops.length === 0 ? [] : [[`Stops for a moment: ${stops.map(unitLabel).join(", ")}`]]),
    ...offsiteNotices(plan, look),
    [
      [
        countText(backUps.length, "workload"),
        `${plan.skipped.length} left out`,
        countText(plan.warnings.length, "warning"),
      ].join(", "),
    ],
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

const COLUMNS: readonly Column<BackUpStep>[] = [
  { title: "WORKLOAD", cell: ({ subject }) => subjectLabel(subject) },
  { title: "TYPE", cell: ({ subject }) => subjectKind(subject) },
  { title: "READ BY", cell: (step) => placeText(step.place) },
  { title: "PATH", cell: ({ path }) => path },
];
