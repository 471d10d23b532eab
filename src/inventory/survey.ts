import type { Job, Side } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { ServerReader, Servers } from "../model/ports.ts";
import { isOwnSnapshotName } from "../model/snapshot.ts";
import type { Instance, Pool, ServerState, State } from "../model/state.ts";
import { unitId } from "../model/unit.ts";

/** Looks at both servers at once. The number of requests does not grow with the number of workloads. */
export async function survey(
  jobs: readonly Job[],
  { source, target }: Pick<Servers, "source" | "target">,
  signal: AbortSignal,
): Promise<State> {
  const pools = source.pools(poolsNamed(jobs, "source"), signal);
  // What is not said otherwise goes to a pool of the same name.
  const likely = pools.then((found) => [...poolsNamed(jobs, "target"), ...found.map(({ name }) => name)]);
  const [onSource, onTarget] = await Promise.all([
    surveyServer(source, pools, signal),
    surveyServer(
      target,
      likely.then((names) => target.pools([...new Set(names)], signal)),
      signal,
    ),
  ]);
  const instances = await withRootConfigs(onTarget.instances, jobs, target, signal);
  const looked = await withHalfSnapshots(instances, onSource, target, signal);
  return { source: onSource, target: { ...onTarget, instances: looked } };
}

/**
 * Where the source has a snapshot that the last run did not get through, a copy was cut off, and the target may keep a part
 * of it that its lists do not show. That is one request for each such replica, and usually there are none.
 */
function withHalfSnapshots(
  replicas: readonly Instance[],
  source: ServerState,
  target: ServerReader,
  signal: AbortSignal,
): Promise<readonly Instance[]> {
  const sources = new Map(source.instances.map((each) => [`${source.facts.host}:${unitId(each)}`, each]));
  const lookUp = async (replica: Instance): Promise<Instance> => {
    const { project, name, type, config, snapshots } = replica;
    const there = new Set(snapshots.map((each) => each.name));
    const proven = config[MARKS.last] ?? "";
    const isCut = sources
      .get(config[MARKS.source] ?? "")
      // Names of ours tell by themselves which is the younger one.
      ?.snapshots.some((each) => isOwnSnapshotName(each.name) && each.name > proven && !there.has(each.name));
    const pool = rootPoolOf(replica);
    if (isCut !== true || pool === undefined) return replica;
    const volume = { unit: { kind: "instance", project, name }, type, pool } as const;
    const halfSnapshots = await target.halfSnapshots(volume, signal);
    return halfSnapshots.length === 0 ? replica : { ...replica, halfSnapshots };
  };
  return Promise.all(replicas.map(lookUp));
}

/**
 * Where history is kept and a replica bears no mark of ours, as after a refresh by hand, its root volume may still tell
 * what was there. That is one request for each of them, and usually there are none.
 */
function withRootConfigs(
  instances: readonly Instance[],
  jobs: readonly Job[],
  target: ServerReader,
  signal: AbortSignal,
): Promise<readonly Instance[]> {
  const projects = new Set(jobs.flatMap((job) => (job.history === "keep" ? [job.target.project] : [])));
  const lookUp = async (instance: Instance): Promise<Instance> => {
    const { project, name, type, config, snapshots } = instance;
    const bare = config[MARKS.source] === undefined && snapshots.some((each) => isOwnSnapshotName(each.name));
    const pool = rootPoolOf(instance);
    if (!bare || !projects.has(project) || pool === undefined) return instance;
    const rootConfig = await target.rootConfig({ unit: { kind: "instance", project, name }, type, pool }, signal);
    return rootConfig === undefined ? instance : { ...instance, rootConfig };
  };
  return Promise.all(instances.map(lookUp));
}

function rootPoolOf({ expandedDevices }: Instance): string | undefined {
  return Object.values(expandedDevices).find(({ type, path }) => type === "disk" && path === "/")?.["pool"];
}

/** Looks at the servers whose workloads are backed up; `likely` are pools that may be among theirs. */
export async function surveyForOffsite(
  servers: Readonly<Partial<Record<Side, ServerReader>>>,
  likely: readonly string[],
  signal: AbortSignal,
): Promise<Partial<Record<Side, ServerState>>> {
  const found = await Promise.all(
    Object.entries(servers).map(async ([side, server]) => {
      return [side, await surveyServer(server, server.pools(likely, signal), signal)] as const;
    }),
  );
  return Object.fromEntries(found);
}

function poolsNamed(jobs: readonly Job[], side: Side): string[] {
  const names = jobs.flatMap((job) => {
    if (job.kind === "volume") return [job[side].pool];
    return side === "source" || job.rootPool === undefined ? [] : [job.rootPool];
  });
  return [...new Set(names)];
}

async function surveyServer(
  server: ServerReader,
  pools: Promise<readonly Pool[]>,
  signal: AbortSignal,
): Promise<ServerState> {
  const [facts, members, projects, instances, networks, profiles, [found, volumes]] = await Promise.all([
    server.facts(signal),
    server.members(signal),
    server.projects(signal),
    server.instances(signal),
    server.networks(signal),
    server.profiles(signal),
    pools.then(async (each) => [each, await server.volumes(namesOf(each), signal)] as const),
  ]);
  return { facts, members, projects, pools: found, networks, profiles, instances, volumes };
}

function namesOf(pools: readonly Pool[]): string[] {
  return pools.map(({ name }) => name);
}
