import type { VolumeCopy } from "../model/copy.ts";
import type { Side } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { RehearseStep, Stage, Step, StepId, Warning } from "../model/plan.ts";
import type { ContentType, ServerState } from "../model/state.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import type { ServerIndex, StateIndex } from "./index-state.ts";
import type { Pair } from "./pair-up.ts";
import { isScratch, scratchName } from "./scratch.ts";
import { sourcePoolOf, storagePair } from "./storage-pair.ts";

/** The way of keeping history that a rehearsal proves: it counts up when the agent does it in another way. */
const WAY = 1;

/** A scratch volume that holds a block device has to be told how large it is. */
const IMAGE_SIZE = "1MiB";

/** A workload that goes to the target with kept history, and the pool it goes to. */
export type Keeper = { readonly pair: Pair; readonly pool: string };

export type Rehearsals = {
  /** Those that have not been passed yet. */
  readonly steps: readonly RehearseStep[];
  /** Lets a step of a keeper wait for its rehearsal, and remember it on the replica. */
  readonly bind: (step: Step) => Step;
};

/**
 * What has to be tried before history is kept: once for each pair of versions, drivers and kinds of data. That it was
 * passed is remembered on the replicas that were copied since, where a certificate that is confined to a project may write.
 */
export function rehearsalsOf(keepers: readonly Keeper[], index: StateIndex): Rehearsals {
  const needed = new Map<string, Needed>();
  const steps = new Map<string, RehearseStep>();
  const passed = passedOn(index.target);
  for (const keeper of keepers) {
    const trial = trialOf(keeper, index);
    const step = passed.has(trial.key) ? undefined : (steps.get(trial.key) ?? rehearseStep(keeper, trial, index));
    if (step !== undefined) steps.set(trial.key, step);
    needed.set(unitId(keeper.pair.job.source), { key: trial.key, step: step?.id });
  }
  return { steps: [...steps.values()], bind: (step) => bound(step, needed.get(unitId(step.workload))) };
}

type Needed = { readonly key: string; readonly step: StepId | undefined };

function bound(step: Step, needed: Needed | undefined): Step {
  if (needed === undefined || (step.kind !== "copy" && step.kind !== "reseed")) return step;
  const needs = needed.step === undefined ? step.needs : [...step.needs, needed.step];
  return { ...step, needs, marks: { ...step.marks, [MARKS.rehearsed]: needed.key } };
}

/** All that were passed by what the replicas say. */
function passedOn({ instances, volumes }: ServerIndex): Set<string> {
  return new Set([...instances.values(), ...volumes.values()].flatMap(({ config }) => config[MARKS.rehearsed] ?? []));
}

type Trial = {
  /** What it is remembered by. Another version of anything in it makes it another. */
  readonly key: string;
  readonly between: Readonly<Record<Side, Stage>>;
  readonly contentType: ContentType;
};

function trialOf({ pair, pool }: Keeper, index: StateIndex): Trial {
  const storage = storagePair(pair, pool, index);
  const stage = (side: Side): Stage => ({ version: index[side].facts.version, driver: storage[side] ?? "unknown" });
  const between = { source: stage("source"), target: stage("target") };
  const contentType = contentTypeOf(pair);
  const on = (side: Side) => {
    const { version, driver } = between[side];
    const { driverVersions, fingerprint } = index[side].facts;
    return `${version} ${driver} ${driverVersions[driver] ?? "-"} ${shortOf(fingerprint)}`;
  };
  return { key: `${WAY} ${contentType} ${on("source")} > ${on("target")}`, between, contentType };
}

/** A virtual machine's disk is a block device, and so is an ISO image. */
function contentTypeOf({ kind, source }: Pair): ContentType {
  const isTree = kind === "instance" ? source.type === "container" : source.contentType === "filesystem";
  return isTree ? "filesystem" : "block";
}

function rehearseStep({ pair, pool }: Keeper, { between, contentType }: Trial, index: StateIndex): RehearseStep {
  const mark = markOf(index);
  const name = scratchName(mark, [between.source.driver, between.target.driver, contentType]);
  const { source, target } = pair.job;
  const copy: VolumeCopy = {
    kind: "volume",
    mode: "relay",
    source: { kind: "volume", project: source.project, pool: sourcePoolOf(pair) ?? pool, name },
    // Another name: both servers may be one.
    target: { kind: "volume", project: target.project, pool, name: `${name}-copy` },
    member: undefined,
    allowInconsistent: false,
    keep: [],
    sends: undefined,
    bytesPerSecond: undefined,
    create: {
      contentType,
      description: "A rehearsal of iab: it goes when that is over",
      config: contentType === "block" ? { size: IMAGE_SIZE } : {},
    },
  };
  return {
    kind: "rehearse",
    id: `rehearse:${unitId(copy.source)}`,
    needs: [],
    workload: copy.source,
    between,
    copy,
    mark,
  };
}

/** Between which two servers a scratch volume was made: those of others are not ours to remove. */
function markOf({ source, target }: StateIndex): string {
  return `${shortOf(source.facts.fingerprint)}-${shortOf(target.facts.fingerprint)}`;
}

function shortOf(fingerprint: string): string {
  return fingerprint.slice(0, 8);
}

/** Scratch volumes that a rehearsal did not live to remove, and that none of this run will. */
export function scratchLeftovers(
  { volumes, facts }: ServerState,
  side: Side,
  steps: readonly RehearseStep[],
): Warning[] {
  const swept = new Set(steps.map(({ copy }) => unitId(copy[side])));
  return volumes
    .filter((volume) => isScratch(volume) && !swept.has(unitId(volume)))
    .map((volume) => {
      const { pool, name, project } = volume;
      const remove = `incus storage volume delete ${pool} ${name} --project ${project}`;
      const text = `${unitLabel(volume)} on ${facts.host} is left from a rehearsal. If none is running: ${remove}`;
      return { code: "rehearsal.leftover", workload: undefined, text };
    });
}
