import type { AdoptStep, CopyStep, Plan, PruneStep, RehearseStep, ReseedStep, Step } from "../model/plan.ts";
import { rfc3339 } from "../model/time.ts";
import { type Unit, unitLabel } from "../model/unit.ts";
import { countText } from "./amounts.ts";

/** What stands in front of a step's text. */
export function stepVerb(step: Step): string {
  switch (step.kind) {
    case "recover":
      return "start";
    case "prune":
      return isRetraction(step) ? "take back" : "prune";
    case "copy":
      return step.id.startsWith("catch-up:") ? "catch up" : "copy";
    default:
      return step.kind;
  }
}

/** Whether what is deleted is sent again: it has not been proven to be whole. */
export function isRetraction(step: PruneStep): boolean {
  return step.id.startsWith("retract-");
}

/** What a step will do, for people: one text, and below it what belongs to it. */
export function stepLines(step: Step, { hosts }: Plan): readonly [string, ...string[]] {
  const on = (unit: Unit) => `${hosts.target}:${unitLabel(unit)}`;
  switch (step.kind) {
    case "rehearse":
      return rehearseLines(step);
    case "recover":
      return ["again: an earlier run stopped it for its snapshot and did not live to start it"];
    case "snapshot":
      return [`${step.name}${step.stop ? ", stopped for it" : ""}${waiting(step.notBefore)}`];
    case "rename":
      return [`${on(step.unit)} to ${step.name}: ends a reseed that was interrupted`];
    case "grow":
      return [`${on(step.unit)} to ${step.size === "" ? "no limit" : step.size}, as its source`];
    case "adopt":
      return [`${on(step.unit)}: ${adoptWords(step).join("; ")}`];
    case "stand-in":
      return [
        `${hosts.target}:${step.profile.project}/${step.profile.name}, an empty profile: snapshots name it, and are received only where it is`,
      ];
    case "mend":
      return [
        `${on(step.copy.target)}: half of ${namesText(step.names)}, left by a copy that was cut off at its very end`,
      ];
    case "copy":
      return copyLines(step, on(step.copy.target));
    case "reseed":
      return reseedLines(step, on);
    case "prune":
      return pruneLines(step, hosts[step.side]);
  }
}

function adoptWords({ marks, lasting }: AdoptStep): string[] {
  return [
    ...(Object.keys(marks).length === 0 ? [] : ["it holds the same snapshots, from now on it is ours"]),
    ...(lasting === undefined ? [] : ["it is ephemeral, from now on it stays when it is stopped"]),
  ];
}

function rehearseLines({ between, copy }: RehearseStep): readonly [string, ...string[]] {
  const { source, target } = between;
  const what = copy.create.contentType === "filesystem" ? "files" : "a disk";
  return [
    `kept history, with ${what}, from Incus ${source.version} (${source.driver}) to Incus ${target.version} (${target.driver})`,
    "on a scratch volume that is made on both sides for this, read back, and removed; unless it passes, no history is kept there",
  ];
}

function waiting(notBefore: number | undefined): string {
  return notBefore === undefined ? "" : `, not before ${rfc3339(notBefore)}`;
}

function copyLines(step: CopyStep, place: string): readonly [string, ...string[]] {
  const { copy, base, sends, vanishes, dropped } = step;
  const how = base === undefined ? "in full" : `on top of ${base}`;
  return [
    `to ${place}${memberText(copy.member)} (${copy.mode}) ${how}: ${namesText(sends)}`,
    ...(copy.keep.length === 0
      ? []
      : [`keeps ${countText(copy.keep.length, "snapshot")} that only the target has: ${namesText(names(copy.keep))}`]),
    ...(vanishes.length === 0
      ? []
      : [
          `the refresh deletes ${namesText(names(vanishes))}: ${[...new Set(vanishes.flatMap(({ reasons }) => reasons))].join("; ")}`,
        ]),
    ...dropped.map(({ name, device, why }) => `without ${name} (${device["type"]}): ${why}`),
  ];
}

/** Where in a cluster. */
function memberText(member: string | undefined): string {
  if (member === undefined) return "";
  return member.startsWith("@") ? ` on a member of ${member}` : ` on member ${member}`;
}

function reseedLines(
  { copy, replaces, keeps, aside, proof, why }: ReseedStep,
  on: (unit: Unit) => string,
): readonly [string, ...string[]] {
  return [
    `${on(replaces)}: ${why}`,
    `a fresh copy ${copy.target.name}${memberText(copy.member)} (${copy.mode}) in full: ${namesText(proof)}`,
    `once it is proven it takes the place of ${on(replaces)}, which ${keeps ? `stays as ${aside}` : "is deleted"}`,
  ];
}

function pruneLines(step: PruneStep, host: string): readonly [string, ...string[]] {
  const { removals } = step;
  const width = Math.max(...removals.map(({ name }) => name.length));
  const condition = step.onlyIfGoneFrom === undefined ? "" : ", each once the source has it no more";
  const kept = step.verdicts.filter(({ verdict }) => verdict === "keep").length;
  const left = step.verdicts.length === 0 ? "" : `, ${kept} of ours left`;
  return [
    `${countText(removals.length, "snapshot")} on ${host}${left}${condition}`,
    ...removals.map(({ name, reasons }) => `${name.padEnd(width)}  ${reasons.join("; ")}`),
  ];
}

const ALL_NAMED = 4;

/** Names, where they are few; else how many, and from which to which. */
function namesText(all: readonly string[]): string {
  const [first, last] = [all.at(0), all.at(-1)];
  if (all.length <= ALL_NAMED) return all.join(", ");
  return `${all.length} snapshots, ${first} to ${last}`;
}

function names(all: readonly { readonly name: string }[]): string[] {
  return all.map(({ name }) => name);
}
