import { MARKS } from "../model/marks.ts";
import type { StandInStep, Step, StepId, Warning } from "../model/plan.ts";
import type { Config } from "../model/state.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import type { FilteredDevices } from "./filter-devices.ts";
import { profileOf, type StateIndex, servingProject } from "./index-state.ts";
import { type Missing, missingProfiles } from "./missing-profiles.ts";
import type { InstancePair } from "./pair-up.ts";
import type { Routed } from "./plan-workload.ts";

export type StandIns = {
  /** Each profile once, however many instances name it. */
  readonly steps: readonly StandInStep[];
  /** Lets a step that hands snapshots to the target wait for the profiles that they name. */
  readonly bind: (step: Step) => Step;
  readonly warnings: readonly Warning[];
};

/** The empty profiles without which the target would receive no snapshot of some instances. */
export function standInsOf(routes: readonly Routed[], index: StateIndex): StandIns {
  const all = routes.flatMap((routed) => lackOf(routed, index) ?? []);
  const steps = new Map<StepId, StandInStep>();
  for (const step of all.flatMap((lack) => lack.steps)) steps.set(step.id, steps.get(step.id) ?? step);
  const needed = new Map(all.map((lack) => [unitId(lack.pair.job.source), neededBy(lack)]));
  return {
    steps: [...steps.values()],
    bind: (step) => bound(step, needed.get(unitId(step.workload))),
    warnings: all.filter(({ refreshes }) => refreshes).flatMap((lack) => refreshWarnings(lack, index)),
  };
}

/** The profiles that one instance is in want of. */
type Lack = {
  readonly pair: InstancePair;
  readonly missing: Missing;
  readonly steps: readonly StandInStep[];
  /** The replica is there already. */
  readonly refreshes: boolean;
};

function lackOf({ pair, route }: Routed, index: StateIndex): Lack | undefined {
  if (pair.kind === "volume" || route.kind === "none") return undefined;
  const missing = missingProfiles(pair.source, pair.job.target.project, index.target);
  if (missing.leftOff.length === 0) return undefined;
  const steps = missing.names.map((name) => standInStep(pair, missing.project, name, index));
  return { pair, missing, steps, refreshes: route.kind === "copy" && pair.replica !== undefined };
}

function neededBy({ pair, missing, steps, refreshes }: Lack): Needed {
  return { ids: steps.map(({ id }) => id), marks: refreshes ? leftOffMark(pair, missing) : {} };
}

type Needed = { readonly ids: readonly StepId[]; readonly marks: Config };

function bound(step: Step, needed: Needed | undefined): Step {
  if (needed === undefined || (step.kind !== "copy" && step.kind !== "mend" && step.kind !== "reseed")) return step;
  const needs = [...step.needs, ...needed.ids];
  return step.kind === "mend" ? { ...step, needs } : { ...step, needs, marks: { ...step.marks, ...needed.marks } };
}

function standInStep({ job }: InstancePair, project: string, name: string, index: StateIndex): StandInStep {
  const home = servingProject(index.source, job.source.project, "ownProfiles");
  const { host } = index.source.facts;
  const description = `Made by iab, and empty: it stands in for the profile ${name} of ${host}, without which no snapshot that names it is received`;
  return {
    kind: "stand-in",
    id: `stand-in:${project}/${name}`,
    needs: [],
    workload: job.source,
    profile: { project, name, description, config: { [MARKS.standIn]: `${host}:${home}/${name}` } },
  };
}

/** What a replica that exists does without: it keeps the profiles that it has. */
function leftOffMark({ source, replica }: InstancePair, { leftOff }: Missing): Config {
  const [has, known] = [replica?.profiles ?? [], replica?.config[MARKS.leftOff] ?? ""];
  const isOff = (name: string) =>
    !has.includes(name) && (leftOff.includes(name) || known.includes(JSON.stringify(name)));
  const off = source.profiles.filter(isOff);
  return off.length === 0 ? {} : { [MARKS.leftOff]: JSON.stringify(off) };
}

function refreshWarnings({ pair: { job }, missing }: Lack, index: StateIndex): Warning[] {
  return missing.names.map((name) => ({
    code: "profile.missing",
    workload: job.source,
    text: `${standsIn(name, index)}. The replica of ${unitLabel(job.source)} stays as it is`,
  }));
}

/** What a new replica is made without, since the target has no profile of that name but an empty one of ours. */
export function leftOffWarnings(pair: InstancePair, filtered: FilteredDevices, index: StateIndex): Warning[] {
  const { job, source } = pair;
  // Where not even the profile default is seen, nothing is known of what there is.
  const isKnown = profileOf(index.target, job.target.project, "default") !== undefined;
  return filtered.missingProfiles.map((name) => {
    const lacks = broughtBy(name, pair, filtered, index);
    const without = `The replica of ${unitLabel(source)} is made without profile ${name}`;
    const text = isKnown
      ? `${standsIn(name, index)}. ${without}${lacks.length === 0 ? "" : `, and lacks ${lacks.join(", ")}`}`
      : `${without}, which the target does not show`;
    return { code: "profile.missing", workload: job.source, text };
  });
}

function standsIn(name: string, { target }: StateIndex): string {
  return `Profile ${name} is missing on ${target.facts.host}: an empty one stands in for it, since snapshots name it`;
}

/** The devices and settings that the instance has by a profile alone, and its replica has not. */
function broughtBy(
  name: string,
  { source }: InstancePair,
  { dropped }: FilteredDevices,
  { source: server }: StateIndex,
): string[] {
  const profile = profileOf(server, source.project, name);
  const devices = dropped.filter((device) => profile?.devices[device.name] !== undefined);
  const settings = Object.keys(profile?.config ?? {}).filter((key) => source.config[key] === undefined);
  return [...devices.map((device) => `device ${device.name}`), ...settings];
}
