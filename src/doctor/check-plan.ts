import type { Check } from "../model/check.ts";
import { MARKS } from "../model/marks.ts";
import type { Plan, RehearseStep, Step } from "../model/plan.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import { checkOf, type Finding, failure, ok, warning } from "./attempt.ts";

/** What the next run would make of the workloads: which are found, which would be left out, and what to know. */
export function checkWorkloads({ steps, skipped, warnings }: Plan): Check[] {
  const going = new Set(steps.filter(({ kind }) => kind !== "rehearse").map(({ workload }) => unitId(workload)));
  const isEmpty = going.size === 0 && skipped.length === 0;
  const found = isEmpty ? failure("None is there", "Name some under projects") : ok(`${going.size} to replicate`);
  return [
    checkOf({ check: "workloads.found", subject: "all" }, found),
    ...skipped.map(({ workload, why, failed, hint }) =>
      checkOf(
        { check: "workloads.ready", subject: unitLabel(workload) },
        { state: failed ? "failed" : "warning", text: why, remedy: hint ?? "See iab plan" },
      ),
    ),
    ...warnings.map(({ code, workload, text }) =>
      checkOf(
        { check: `workloads.${code}`, subject: workload === undefined ? "all" : unitLabel(workload) },
        warning(text, REMEDIES[code] ?? "See iab plan"),
      ),
    ),
  ];
}

const REMEDIES: Readonly<Record<string, string>> = {
  "policy.unused": "Correct the name in the configuration, or remove the policy",
  "profile.missing": "Make it on the target before the run, fill the one that stands in for it, or do without",
  "device.dropped": "Create what it needs on the target, or name it under excludeDevices",
  "history.lost": "See docs/history.md: somebody has refreshed the replica by hand",
};

/** Which ways of keeping history have been rehearsed; nothing where no history is kept. */
export function checkRehearsals({ steps, hosts }: Plan): Check[] {
  const subject = `${hosts.source} to ${hosts.target}`;
  const due = steps.filter((step) => step.kind === "rehearse");
  const passed = new Set(steps.flatMap((step) => passedBy(step, due)));
  return [
    ...[...passed].map((key) => checkOf({ check: "history.rehearsed", subject }, ok(`Passed: ${key}`))),
    ...due.map((step) => checkOf({ check: "history.rehearsed", subject }, dueFinding(step))),
  ];
}

function passedBy(step: Step, due: readonly RehearseStep[]): string[] {
  if (step.kind !== "copy" && step.kind !== "reseed") return [];
  const key = step.marks[MARKS.rehearsed];
  return key === undefined || due.some(({ id }) => step.needs.includes(id)) ? [] : [key];
}

function dueFinding({ between, copy }: RehearseStep): Finding {
  const [source, target] = [between.source, between.target];
  const what = copy.create.contentType === "filesystem" ? "files" : "disks";
  const ways = `${what} from Incus ${source.version} (${source.driver}) to Incus ${target.version} (${target.driver})`;
  return warning(`Not rehearsed yet: ${ways}`, "The next run rehearses it first: iab run");
}
