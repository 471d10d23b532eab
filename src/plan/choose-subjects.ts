import { globMatches, isGlob } from "../model/glob.ts";
import type { Side } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { OffsiteSource } from "../model/offsite.ts";
import type { OffsiteSkipped, OffsiteWarning } from "../model/offsite-plan.ts";
import { type ReadingPlace, type Subject, subjectId } from "../model/reading.ts";
import type { ServerState, Workload } from "../model/state.ts";
import { isHalfRestored, isPassing } from "./passing.ts";
import { rootDisk } from "./storage-pair.ts";

/** What is known of a server whose workloads are backed up. */
export type OffsiteServer = Pick<ServerState, "facts" | "projects" | "pools" | "instances" | "volumes">;
export type OffsiteState = Readonly<Partial<Record<Side, OffsiteServer>>>;

/** Something that is to be backed up, and where and how it is read. */
export type Chosen = { readonly place: ReadingPlace; readonly subject: Subject };

export type Choice = {
  readonly chosen: readonly Chosen[];
  readonly skipped: readonly OffsiteSkipped[];
  readonly warnings: readonly OffsiteWarning[];
};

/** How a workload came to be chosen: the more particular a source is, the more its way of reading counts. */
const RANK = { named: 0, pattern: 1, pool: 2 } as const;
type Rank = (typeof RANK)[keyof typeof RANK];

type Candidate = {
  readonly place: ReadingPlace;
  readonly rank: Rank;
  /** By a pattern, which may catch what nobody thought of. */
  readonly glob: boolean;
  readonly found: Workload | string;
};

/** What the sources of the configuration stand for on the servers, each thing once, in the order of their names. */
export function chooseSubjects(sources: readonly OffsiteSource[], state: OffsiteState): Choice {
  const looks = sources.flatMap((source) => {
    const server = state[source.host];
    return server === undefined ? [] : [lookFor(source, server)];
  });
  const judged = onceEach(looks.flatMap(({ candidates }) => candidates)).map((each) => judge(each, state));
  return {
    chosen: judged.filter((each) => "subject" in each),
    skipped: [...looks.flatMap(({ skipped }) => skipped), ...judged.filter((each) => "why" in each)],
    warnings: looks.flatMap(({ warnings }) => warnings),
  };
}

type Look = Pick<Choice, "skipped" | "warnings"> & { readonly candidates: readonly Candidate[] };

/** Everything that one source names, and what it names in vain. */
function lookFor(source: OffsiteSource, server: OffsiteServer): Look {
  const { read, host, root } = source;
  const place = { read, host, root };
  const on = server.facts.host;
  const searches = [
    ...source.instances.map(({ project, name }) => ({
      what: spelled(project, name),
      kind: "instance",
      glob: isGlob(project) || isGlob(name),
      matches: server.instances.filter((one) => globMatches(project, one.project) && globMatches(name, one.name)),
    })),
    ...source.volumes.map(({ project, pool, name }) => ({
      what: spelled(project, pool, name),
      kind: "volume",
      glob: [project, pool, name].some(isGlob),
      matches: server.volumes.filter(
        (one) =>
          globMatches(isGlob(project) ? project : volumeProject(project, server), one.project) &&
          globMatches(pool, one.pool) &&
          globMatches(name, one.name),
      ),
    })),
    ...source.pools.map((pool) => ({ what: pool, kind: "pool", glob: isGlob(pool), ...inPools(pool, server) })),
  ];
  const vain = searches.filter((search) => ("pools" in search ? search.pools : search.matches.length) === 0);
  return {
    candidates: [
      ...searches.flatMap(({ kind, glob, matches }) =>
        matches.filter(isNotOurOwn).map((found) => ({ place, rank: rankOf(kind, glob), glob, found })),
      ),
      ...source.datasets.map((found) => ({ place, rank: RANK.named, glob: false, found })),
    ],
    skipped: vain
      .filter(({ glob }) => !glob)
      .map(({ what, kind }) => ({ what, why: `there is no such ${kind} on ${on}`, failed: true })),
    warnings: vain
      .filter(({ glob }) => glob)
      .map(({ what, kind }) => ({ code: "glob.empty", what, text: `${what} fits no ${kind} on ${on}` })),
  };
}

function inPools(pool: string, server: OffsiteServer) {
  const names = new Set(server.pools.map(({ name }) => name).filter((name) => globMatches(pool, name)));
  const matches = [...server.instances, ...server.volumes].filter((one) => names.has(poolOf(one) ?? ""));
  return { pools: names.size, matches };
}

function rankOf(kind: string, glob: boolean): Rank {
  if (kind === "pool") return RANK.pool;
  return glob ? RANK.pattern : RANK.named;
}

/** A project without volumes of its own has those of `default`. */
function volumeProject(name: string, { projects }: OffsiteServer): string {
  return (projects.find((project) => project.name === name)?.ownVolumes ?? true) ? name : "default";
}

/** What an offsite run, a restore or a rehearsal works with is no workload of anybody. */
function isNotOurOwn(workload: Workload): boolean {
  return !isPassing(workload) && workload.config[MARKS.scratch] === undefined;
}

function spelled(project: string, ...rest: readonly string[]): string {
  return (project === "default" ? rest : [project, ...rest]).join("/");
}

/** The pool that a workload's data is in. */
function poolOf(workload: Workload): string | undefined {
  return workload.kind === "volume" ? workload.pool : rootDisk(workload.expandedDevices)?.device["pool"];
}

/** Of what several sources name, the one that names it most particularly counts, and of such the first. */
function onceEach(candidates: readonly Candidate[]): Candidate[] {
  const best = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const key = `${candidate.place.host} ${keyOf(candidate)}`;
    const known = best.get(key);
    if (known === undefined || candidate.rank < known.rank) best.set(key, candidate);
  }
  return [...best].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, candidate]) => candidate);
}

function keyOf({ found }: Candidate): string {
  if (typeof found === "string") return subjectId({ kind: "dataset", dataset: found });
  return subjectId({ kind: "workload", workload: found, pool: { name: "", driver: "" } });
}

const DRIVER_OF = { zfs: "zfs", btrfs: "btrfs", export: undefined } as const;

/** Whether it can be read in the way that is wanted. What a pattern has caught by the way is no failure. */
function judge(candidate: Candidate, state: OffsiteState): Chosen | OffsiteSkipped {
  const { place, rank, glob, found } = candidate;
  if (typeof found === "string") return { place, subject: { kind: "dataset", dataset: found } };
  const refused = (failed: boolean, why: string, hint: string): OffsiteSkipped => ({
    what: keyOf(candidate),
    why,
    failed,
    hint,
  });
  if (isHalfRestored(found.config)) {
    const why = "a restore of it has not come to its end";
    return refused(true, why, `where none is at work: see to it, and take the key ${MARKS.restoring} off it`);
  }
  const name = poolOf(found);
  const pool = state[place.host]?.pools.find((each) => each.name === name);
  if (pool === undefined) {
    const why = name === undefined ? "it has no root disk in a pool" : `its pool ${name} is hidden from the agent`;
    return refused(!glob, why, "check its devices, and what the agent's certificate may see");
  }
  const driver = DRIVER_OF[place.read];
  if (driver !== undefined && pool.driver !== driver) {
    return refused(
      !glob,
      `pool ${pool.name} is of ${pool.driver}, and cannot be read as ${driver}`,
      'name it in a source of its own with "read": "export"',
    );
  }
  if (place.read === "export" && found.kind === "volume" && found.contentType === "iso") {
    const why = "it is an ISO image, which is not exported";
    return refused(rank === RANK.named, why, "keep the file that it was made from");
  }
  return { place, subject: { kind: "workload", workload: found, pool } };
}
