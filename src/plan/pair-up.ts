import { globPattern, isGlob } from "../model/glob.ts";
import type { InstanceJob, Job, VolumeJob } from "../model/job.ts";
import type { Skipped, Warning } from "../model/plan.ts";
import type { Instance, Volume, Workload } from "../model/state.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import { type ServerIndex, type StateIndex, servingProject } from "./index-state.ts";

export type InstancePair = {
  readonly kind: "instance";
  readonly job: InstanceJob;
  readonly source: Instance;
  readonly replica: Instance | undefined;
};

type VolumePair = {
  readonly kind: "volume";
  readonly job: VolumeJob;
  readonly source: Volume;
  readonly replica: Volume | undefined;
};

/** A job whose workload exists, with what is on the target in its place. */
export type Pair = InstancePair | VolumePair;

export type Paired = {
  readonly pairs: readonly Pair[];
  readonly skipped: readonly Skipped[];
  readonly warnings: readonly Warning[];
};

/** Finds what the jobs name: globs become single jobs, each with its workload and its replica. */
export function pairUp(jobs: readonly Job[], index: StateIndex): Paired {
  const placed = jobs.map((job) => inServingProjects(job, index));
  const named = placed.filter((job) => !isGlob(job.source.name));
  const globs = placed.filter((job) => isGlob(job.source.name)).map((job) => ({ job, matches: expand(job, index) }));
  const once = distinct([...named, ...globs.flatMap(({ matches }) => matches)]);
  const pairs = once.map((job) => pairOf(job, index));
  const found = pairs.filter((pair) => "source" in pair);
  const clashes = clashesOf(
    found.map(({ job }) => job),
    index,
  );
  return {
    pairs: found.filter(({ job }) => !clashes.has(unitId(job.source))),
    skipped: [...pairs.filter((pair) => "why" in pair), ...clashes.values()],
    warnings: globs.filter(({ matches }) => matches.length === 0).map(({ job }) => emptyGlob(job)),
  };
}

/** Volumes of a project that has none of its own are those of `default`: one volume, however many projects see it. */
function inServingProjects<J extends Job>(job: J, index: StateIndex): J {
  if (job.kind === "instance") return job;
  const serving = (unit: Unit, server: ServerIndex) => servingProject(server, unit.project, "ownVolumes");
  return {
    ...job,
    source: { ...job.source, project: serving(job.source, index.source) },
    target: { ...job.target, project: serving(job.target, index.target) },
  };
}

function expand(job: Job, { source }: StateIndex): Job[] {
  const pattern = globPattern(job.source.name);
  const near = [...(job.kind === "instance" ? source.instances : source.volumes).values()].filter(
    (workload) => isBeside(workload, job.source) && pattern.test(workload.name),
  );
  return near.map(({ name }) => single(job, name));
}

function isBeside(workload: Workload, unit: Unit): boolean {
  if (workload.project !== unit.project) return false;
  return workload.kind === "instance" || unit.kind === "instance" || workload.pool === unit.pool;
}

/** The job that a glob stands for in the case of one name. */
function single(job: Job, name: string): Job {
  const retention = job.retentionByName?.[name] ?? job.retention;
  return job.kind === "instance"
    ? { ...job, retention, source: { ...job.source, name }, target: { ...job.target, name } }
    : { ...job, retention, source: { ...job.source, name }, target: { ...job.target, name } };
}

/** The first job of each workload; what is named apart stands before what a glob brings. */
function distinct(jobs: readonly Job[]): Job[] {
  const first = new Map<string, Job>();
  for (const job of jobs) if (!first.has(unitId(job.source))) first.set(unitId(job.source), job);
  return [...first.values()];
}

function pairOf(job: Job, index: StateIndex): Pair | Skipped {
  const [from, to] = [unitId(job.source), unitId(job.target)];
  if (job.kind === "instance") {
    const source = index.source.instances.get(from);
    if (source === undefined) return missing(job, index);
    return { kind: "instance", job, source, replica: index.target.instances.get(to) };
  }
  const source = index.source.volumes.get(from);
  if (source === undefined) return missing(job, index);
  return { kind: "volume", job, source, replica: index.target.volumes.get(to) };
}

function missing({ kind, source }: Job, { source: { facts, projects } }: StateIndex): Skipped {
  const hint = facts.restricted
    ? "Check its name and project in the configuration, and whether the agent's certificate may use that project"
    : "Check its name and project in the configuration";
  const what = projects.has(source.project) ? `no such ${kind}` : `no project ${source.project}`;
  return { workload: source, why: `${facts.host} has ${what}`, failed: true, hint };
}

/** Jobs that would write to one object, or read and write the same: nobody can say which is meant, so none is done. */
function clashesOf(jobs: readonly Job[], { source, target }: StateIndex): Map<string, Skipped> {
  const byTarget = new Map<string, Job[]>();
  for (const job of jobs) byTarget.set(unitId(job.target), [...(byTarget.get(unitId(job.target)) ?? []), job]);
  const clashes = new Map<string, Skipped>();
  const add = (job: Job, why: string) =>
    clashes.set(unitId(job.source), {
      workload: job.source,
      why,
      failed: true,
      hint: "Give one of them another targetProject, or another pool",
    });
  for (const [place, rivals] of byTarget) {
    const names = rivals.map((job) => unitLabel(job.source)).join(" and ");
    if (rivals.length > 1) for (const job of rivals) add(job, `${names} would both become ${place} on the target`);
  }
  if (source.facts.fingerprint !== target.facts.fingerprint) return clashes;
  for (const job of jobs) if (unitId(job.source) === unitId(job.target)) add(job, "it would be replicated onto itself");
  return clashes;
}

function emptyGlob({ source }: Job): Warning {
  return { code: "glob.empty", workload: source, text: `Nothing on the source matches ${unitLabel(source)}` };
}
