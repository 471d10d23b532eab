import type { OffsiteSkipped, OffsiteStep, OffsiteWarning } from "../model/offsite-plan.ts";
import { type ReadingPlace, type Subject, subjectId } from "../model/reading.ts";
import { unitLabel } from "../model/unit.ts";
import { countText } from "./amounts.ts";
import { hanging, type Look, paint } from "./look.ts";

/** A subject as people call it. */
export function subjectLabel(subject: Subject): string {
  return subject.kind === "dataset" ? subject.dataset : unitLabel(subject.workload);
}

/** What it is: a container, a virtual machine, a volume, a dataset. */
export function subjectKind(subject: Subject): string {
  if (subject.kind === "dataset") return "dataset";
  const { workload } = subject;
  if (workload.kind === "volume")
    return workload.contentType === "filesystem" ? "volume" : `${workload.contentType} volume`;
  return workload.type;
}

/** What a step does, in a few words: `back up web1`. */
export function offsiteVerb(step: OffsiteStep): string {
  switch (step.kind) {
    case "sweep":
      return `sweep (${placeText(step.place)})`;
    case "restart":
      return `start ${unitLabel(step.unit)} again`;
    case "hold":
      return `hold ${countText(step.subjects.length, "workload")} (${placeText(step.place)})`;
    case "back-up":
      return `back up ${subjectLabel(step.subject)}`;
    case "release":
      return `release (${placeText(step.place)})`;
    case "retention":
      return "remove old backups";
    case "maintenance":
      return "tidy up the repository";
  }
}

/** How and where it is read: `zfs`, `export from the target`, `btrfs in /mnt/pool`. */
export function placeText({ read, host, root }: ReadingPlace): string {
  return [read, ...(host === "target" ? ["from the target"] : []), ...(root === undefined ? [] : [`in ${root}`])].join(
    " ",
  );
}

/** The workload that a step is about, for programs; null where it is about none. */
export function workloadOf(step: OffsiteStep): string | null {
  return step.kind === "back-up" ? subjectId(step.subject) : null;
}

/** What is left out and what a person should know, below titles of their own; nothing where there is nothing. */
export function offsiteNotices(
  { skipped, warnings }: { readonly skipped: readonly OffsiteSkipped[]; readonly warnings: readonly OffsiteWarning[] },
  look: Look,
): string[][] {
  return [
    ...(skipped.length === 0
      ? []
      : [[paint("Left out", "bold", look), ...skipped.flatMap((each) => skippedLines(each, look))]]),
    ...(warnings.length === 0
      ? []
      : [
          [
            paint("Warnings", "bold", look),
            ...warnings.flatMap(({ code, text }) => hanging("  ", `${text} (${code})`, look)),
          ],
        ]),
  ];
}

function skippedLines({ what, why, failed, hint }: OffsiteSkipped, look: Look): string[] {
  const [first = "", ...rest] = hanging("  ", `${what}: ${why}`, look);
  return [
    paint(first, failed ? "red" : "yellow", look),
    ...rest,
    ...(hint === undefined ? [] : hanging("    ", hint, look)),
  ];
}
