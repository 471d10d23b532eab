import { AgentError } from "../model/errors.ts";
import { globMatches } from "../model/glob.ts";
import type { Job, Side } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { OffsiteSource } from "../model/offsite.ts";
import type { BackUpStep, OffsitePlan, OffsiteStep, OffsiteWarning } from "../model/offsite-plan.ts";
import type { StepId } from "../model/plan.ts";
import { type ReadingPlace, type ReadingRun, type Subject, subjectId } from "../model/reading.ts";
import { snapshotName } from "../model/snapshot.ts";
import type { Instance } from "../model/state.ts";
import type { EpochMs } from "../model/time.ts";
import { type InstanceUnit, unitId, unitLabel } from "../model/unit.ts";
import { isMeant } from "../model/workload-name.ts";
import { type Choice, type Chosen, chooseSubjects, type OffsiteState } from "./choose-subjects.ts";

/** What an offsite run is given to decide by. */
export type OffsiteOrders = {
  readonly sources: readonly OffsiteSource[];
  /** What is replicated: an instance that is stopped for its snapshot there is stopped for its reading here. */
  readonly jobs: readonly Job[];
  /** Whose backups these are: `user@host`. */
  readonly owner: string;
  readonly now: EpochMs;
  /** Only these workloads, as a person typed them; none for all. */
  readonly only: readonly string[];
};

/** Decides what is backed up, how it is read, and what is done around it. */
export function makeOffsitePlan(orders: OffsiteOrders, state: OffsiteState): OffsitePlan {
  const choice = narrowed(chooseSubjects(orders.sources, state), orders.only);
  const run = { owner: orders.owner, name: runName(orders) };
  const places = placesOf(choice.chosen);
  return {
    run,
    at: orders.now,
    steps: [
      ...places.map(({ id, place }): OffsiteStep => ({ kind: "sweep", id: `sweep:${id}`, needs: [], place })),
      ...restartSteps(choice.chosen),
      ...places.map(({ id, place, chosen }): OffsiteStep => {
        const subjects = chosen.map(({ subject }) => subject);
        return { kind: "hold", id: `hold:${id}`, needs: [], place, subjects, stop: toBeStopped(chosen, orders.jobs) };
      }),
      ...places.flatMap(({ id, place, chosen }): OffsiteStep[] => [
        ...chosen.map((each) => backUpStep(each, `hold:${id}`, run, state)),
        { kind: "release", id: `release:${id}`, needs: [`hold:${id}`], place },
      ]),
      { kind: "retention", id: "retention", needs: [] },
      // Who wants one workload now does not want to wait for that.
      ...(orders.only.length > 0 ? [] : [{ kind: "maintenance", id: "maintenance", needs: [] } as const]),
    ],
    skipped: choice.skipped,
    warnings: [...choice.warnings, ...volumesLeftOut(choice, state)],
  };
}

function narrowed(choice: Choice, only: readonly string[]): Choice {
  if (only.length === 0) return choice;
  const means = (typed: string, { subject }: Chosen) =>
    subject.kind === "dataset" ? globMatches(typed, subject.dataset) : isMeant(subject.workload, typed);
  const unknown = only.find(
    (typed) =>
      !choice.chosen.some((each) => means(typed, each)) && !choice.skipped.some(({ what }) => globMatches(typed, what)),
  );
  if (unknown !== undefined) {
    throw new AgentError("usage", `Cannot find ${unknown}: nothing that offsite.sources chooses is called so`, {
      hint: "iab offsite run --dryRun lists what is chosen",
    });
  }
  return {
    chosen: choice.chosen.filter((each) => only.some((typed) => means(typed, each))),
    skipped: choice.skipped.filter(({ what }) => only.some((typed) => globMatches(typed, what))),
    warnings: [],
  };
}

/** The start in UTC, and a few letters of whose run it is: two hosts that start in one second do not meet on a server. */
function runName({ now, owner }: OffsiteOrders): string {
  let sum = 0;
  for (const letter of owner) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 0x10000;
  return `${snapshotName(now).replace("IAB_", "offsite-")}-${sum.toString(16).padStart(4, "0")}`;
}

type Place = { readonly id: string; readonly place: ReadingPlace; readonly chosen: readonly Chosen[] };

/** What is read by one reader, and at one moment. */
function placesOf(chosen: readonly Chosen[]): Place[] {
  const byId = new Map<string, { id: string; place: ReadingPlace; chosen: Chosen[] }>();
  for (const each of chosen) {
    const id = placeId(each.place);
    const known = byId.get(id);
    if (known === undefined) byId.set(id, { id, place: each.place, chosen: [each] });
    else known.chosen.push(each);
  }
  return [...byId.values()];
}

function placeId({ read, host, root }: ReadingPlace): string {
  return [read, ...(host === "source" ? [] : [host]), ...(root === undefined ? [] : [root])].join(":");
}

/** `back-up:default/web1`, `back-up-target:default/web1`. */
function stepIdOf(kind: string, { host }: ReadingPlace, id: string): StepId {
  return `${kind}${host === "source" ? "" : `-${host}`}:${id}`;
}

/** Instances that a run has stopped, and did not live to start. */
function restartSteps(chosen: readonly Chosen[]): OffsiteStep[] {
  return instancesOf(chosen)
    .filter(({ instance }) => instance.config[MARKS.stopped] !== undefined)
    .map(({ place, instance }) => {
      const unit = unitOf(instance);
      return { kind: "restart", id: stepIdOf("restart", place, unitId(unit)), needs: [], unit, place };
    });
}

function toBeStopped(chosen: readonly Chosen[], jobs: readonly Job[]): InstanceUnit[] {
  return instancesOf(chosen)
    .filter(({ place, instance }) => place.host === "source" && isStopped(instance, jobs))
    .map(({ instance }) => unitOf(instance));
}

/** As a replication run has it: the job that names the instance counts before one with a pattern. */
function isStopped(instance: Instance, jobs: readonly Job[]): boolean {
  if (instance.status !== "Running" || instance.ephemeral) return false;
  const own = jobs.filter(({ kind, source }) => kind === "instance" && source.project === instance.project);
  const job =
    own.find(({ source }) => source.name === instance.name) ??
    own.find(({ source }) => globMatches(source.name, instance.name));
  return job?.kind === "instance" && job.stop;
}

function instancesOf(chosen: readonly Chosen[]): { place: ReadingPlace; instance: Instance }[] {
  return chosen.flatMap(({ place, subject }) =>
    subject.kind === "workload" && subject.workload.kind === "instance" ? [{ place, instance: subject.workload }] : [],
  );
}

function unitOf({ project, name }: Instance): InstanceUnit {
  return { kind: "instance", project, name };
}

function backUpStep({ place, subject }: Chosen, hold: StepId, run: ReadingRun, state: OffsiteState): BackUpStep {
  const host = state[place.host]?.facts.host ?? place.host;
  const id = subjectId(subject);
  return {
    kind: "back-up",
    id: stepIdOf("back-up", place, id),
    needs: [hold],
    place,
    subject,
    path: archivePath(subject, host),
    description: `${labelOf(subject)} (${kindOf(subject)}) on ${host}`,
    tags: { workload: id, host, kind: kindOf(subject), ...tagsOf(subject), run: run.name, read: place.read },
  };
}

/** Encoded, for Kopia takes what stands before an @ in a path for a user. */
function archivePath(subject: Subject, host: string): string {
  const parts = (): string[] => {
    if (subject.kind === "dataset") return ["zfs", host, ...subject.dataset.split("/")];
    const { workload } = subject;
    return workload.kind === "instance"
      ? ["incus", host, workload.project, "instances", workload.name]
      : ["incus", host, workload.project, "volumes", workload.pool, workload.name];
  };
  return parts()
    .map((part) => `/${encodeURIComponent(part)}`)
    .join("");
}

function labelOf(subject: Subject): string {
  return subject.kind === "dataset" ? subject.dataset : unitLabel(subject.workload);
}

function kindOf(subject: Subject): string {
  if (subject.kind === "dataset") return "dataset";
  return subject.workload.kind === "instance" ? subject.workload.type : "volume";
}

function tagsOf(subject: Subject): Record<string, string> {
  return subject.kind === "dataset" ? {} : { project: subject.workload.project, pool: subject.pool.name };
}

/** Volumes that an instance uses and nobody has chosen: who restores the instance will miss them. */
function volumesLeftOut({ chosen, skipped }: Choice, state: OffsiteState): OffsiteWarning[] {
  const known = (host: Side) =>
    new Set([
      ...chosen.filter(({ place }) => place.host === host).map(({ subject }) => subjectId(subject)),
      ...skipped.map(({ what }) => what),
    ]);
  return instancesOf(chosen).flatMap(({ place, instance }) =>
    (state[place.host]?.volumes ?? [])
      .filter((volume) => volume.usedBy.some((user) => unitId(user) === unitId(instance)))
      .filter((volume) => !known(place.host).has(unitId(volume)))
      .map((volume) => ({
        code: "volume.left-out" as const,
        what: unitId(instance),
        text: `${unitLabel(instance)} uses the volume ${unitLabel(volume)}, which is not backed up`,
      })),
  );
}
