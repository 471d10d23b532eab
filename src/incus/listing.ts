import { z } from "zod";
import { IncusRefusal } from "../model/errors.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type {
  Config,
  Instance,
  Member,
  Network,
  Pool,
  Profile,
  Project,
  ServerFacts,
  Space,
  Volume,
} from "../model/state.ts";
import { MINUTE_MS } from "../model/time.ts";
import { type InstanceUnit, type Unit, unitId } from "../model/unit.ts";
import { readMetadata } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { DeviceMap, InstanceSchema, instanceOf, SnapshotSchema, Strings, snapshotsOf } from "./instances.ts";
import { unitAt, unitPath, volumesPath } from "./unit-path.ts";
import { flatVolumesOf, fullVolumesOf, VolumeSchema } from "./volumes.ts";

/** Servers gather the state of all that runs, which takes its time where that is much. */
const LIST_MS = 10 * MINUTE_MS;
/** What is listed with nothing but its name is asked for by itself, for so long. */
const FILLING_MS = 10_000;
const EVERYWHERE = { "all-projects": "true" } as const;
const WITH_FIELDS = { recursion: "1" } as const;
const WITH_SNAPSHOTS = { recursion: "2" } as const;

type Query = Readonly<Record<string, string>>;

const ProjectSchema = z.object({
  name: z.string(),
  config: Strings,
  used_by: z.array(z.string()).nullish(),
});
/** Its configuration is hidden from a restricted certificate. */
const PoolSchema = z
  .object({ name: z.string(), driver: z.string(), config: Strings.nullish() })
  .transform(({ name, driver, config }): Pool => {
    const dataset = driver === "zfs" ? config?.["zfs.pool_name"] : undefined;
    return { name, driver, ...(dataset === undefined ? {} : { dataset }) };
  });
const ResourcesSchema = z.object({
  space: z.object({ used: z.number().default(0), total: z.number().default(0) }).default({ used: 0, total: 0 }),
});
const NetworkSchema = z.object({ name: z.string(), managed: z.boolean(), project: z.string().default("default") });
/** By status. What an operation touches is named by kind. */
const OperationsSchema = z.record(
  z.string(),
  z
    .array(
      z.object({ status_code: z.number(), resources: z.record(z.string(), z.array(z.string()).nullish()).nullish() }),
    )
    .nullish(),
);
const Description = z.record(z.string(), z.unknown());
const Descriptions = z
  .array(Description)
  .nullish()
  .transform((list) => list ?? []);
const MemberSchema = z.object({
  server_name: z.string(),
  status: z.string(),
  groups: z.array(z.string()).nullish(),
});
const ProfileSchema = z.object({
  name: z.string(),
  project: z.string().default("default"),
  config: Strings,
  devices: DeviceMap,
});

/** Reads an object, or a list, by the fields that the agent uses. */
async function read<T>(
  connection: Connection,
  path: string,
  query: Query,
  schema: z.ZodType<T>,
  signal: AbortSignal,
): Promise<T> {
  const answer = await connection.request({ method: "GET", path, query, timeoutMs: LIST_MS }, signal);
  return readMetadata({ host: connection.host, method: "GET", path }, answer, schema);
}

/** All instances of all projects with their snapshots, in one request. */
export async function listInstances(connection: Connection, signal: AbortSignal): Promise<readonly Instance[]> {
  const query = { ...WITH_SNAPSHOTS, ...EVERYWHERE };
  const listed = (await read(connection, "/1.0/instances", query, z.array(InstanceSchema), signal)).map(instanceOf);
  return Promise.all(listed.map((each) => (isBlank(each) ? filledIn(connection, each, signal) : each)));
}

/** While a container's first process comes or goes, a server may list it with nothing but its name. */
function isBlank({ status, expandedDevices }: Instance): boolean {
  return status === "Error" && Object.keys(expandedDevices).length === 0;
}

async function filledIn(connection: Connection, blank: Instance, signal: AbortSignal): Promise<Instance> {
  // Of a cluster's member that is gone nobody will tell, however long one asks.
  const soon = AbortSignal.any([signal, AbortSignal.timeout(FILLING_MS)]);
  const [read, snapshots] = await Promise.allSettled([
    readInstance(connection, blank, soon),
    listSnapshots(connection, blank, soon),
  ]);
  signal.throwIfAborted();
  // One that stays blank has no root disk, so that the plan leaves it out and says so.
  if (read.status === "rejected" || read.value === undefined || snapshots.status === "rejected") return blank;
  return { ...read.value, snapshots: snapshots.value };
}

/** One instance; undefined if there is none. */
export async function readInstance(
  connection: Connection,
  unit: InstanceUnit,
  signal: AbortSignal,
): Promise<Instance | undefined> {
  const query = { ...WITH_FIELDS, project: unit.project };
  const wire = await ifThere(read(connection, unitPath(unit), query, InstanceSchema, signal));
  return wire === undefined ? undefined : instanceOf(wire);
}

/** The custom volumes of all projects with their snapshots and users, in one request for each pool. */
export async function listVolumes(
  connection: Connection,
  pools: readonly string[],
  { can, restricted }: Pick<ServerFacts, "can" | "restricted">,
  signal: AbortSignal,
): Promise<readonly Volume[]> {
  // The old form on a new server lacks the snapshots, and the new form on an old one is the old form: never guess.
  const fields = can.fullVolumes ? WITH_SNAPSHOTS : WITH_FIELDS;
  const volumesOf = can.fullVolumes ? fullVolumesOf : flatVolumesOf;
  // Asked about all projects at once, a server hides a volume's users from a restricted certificate.
  const scopes = restricted
    ? (await listProjects(connection, signal)).map(({ name }): Query => ({ project: name }))
    : [EVERYWHERE];
  const lists = pools.map(async (pool) => {
    const parts = scopes.map((scope) => {
      return read(connection, volumesPath(pool), { ...fields, ...scope }, z.array(VolumeSchema), signal);
    });
    return volumesOf(pool, (await Promise.all(parts)).flat());
  });
  return (await Promise.all(lists)).flat();
}

/**
 * A unit with its snapshots as the server describes it: the description of a backup, from which the unit can be made
 * again. How it does at the moment (its load, its addresses) is left out.
 */
export async function describe(
  connection: Connection,
  unit: Unit,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const { project } = unit;
  const [description, snapshots] = await Promise.all([
    read(connection, unitPath(unit), { project }, Description, signal),
    read(connection, `${unitPath(unit)}/snapshots`, { ...WITH_FIELDS, project }, Descriptions, signal),
  ]);
  return { ...description, snapshots };
}

/** A unit's snapshots, oldest first. */
export async function listSnapshots(
  connection: Connection,
  unit: Unit,
  signal: AbortSignal,
): Promise<readonly Snapshot[]> {
  const query = { ...WITH_FIELDS, project: unit.project };
  return snapshotsOf(await read(connection, `${unitPath(unit)}/snapshots`, query, z.array(SnapshotSchema), signal));
}

/** The members of the cluster that the server belongs to. */
export async function listMembers(connection: Connection, signal: AbortSignal): Promise<readonly Member[]> {
  const list = await read(connection, "/1.0/cluster/members", WITH_FIELDS, z.array(MemberSchema), signal);
  return list.map(({ server_name: name, status, groups }) => ({ name, status, groups: groups ?? [] }));
}

export async function listProjects(connection: Connection, signal: AbortSignal): Promise<readonly Project[]> {
  const list = await read(connection, "/1.0/projects", WITH_FIELDS, z.array(ProjectSchema), signal);
  return list.map(({ name, config }) => ({
    name,
    ownVolumes: config["features.storage.volumes"] === "true",
    ownProfiles: config["features.profiles"] === "true",
    ownNetworks: config["features.networks"] === "true",
  }));
}

/** The networks that Incus manages; the others are the host's own and may be there or not. */
export async function listNetworks(connection: Connection, signal: AbortSignal): Promise<readonly Network[]> {
  const query = { ...WITH_FIELDS, ...EVERYWHERE };
  const list = await read(connection, "/1.0/networks", query, z.array(NetworkSchema), signal);
  return list.filter(({ managed }) => managed).map(({ project, name }) => ({ project, name }));
}

export async function listProfiles(connection: Connection, signal: AbortSignal): Promise<readonly Profile[]> {
  const query = { ...WITH_FIELDS, ...EVERYWHERE };
  return read(connection, "/1.0/profiles", query, z.array(ProfileSchema), signal);
}

export async function listPools(connection: Connection, signal: AbortSignal): Promise<readonly Pool[]> {
  return read(connection, "/1.0/storage-pools", WITH_FIELDS, z.array(PoolSchema), signal);
}

/** How much room a pool has, where its driver tells. */
export async function readSpace(connection: Connection, pool: string, signal: AbortSignal): Promise<Space | undefined> {
  const path = `/1.0/storage-pools/${encodeURIComponent(pool)}/resources`;
  const { space } = await read(connection, path, {}, ResourcesSchema, signal);
  return space.total > 0 ? { usedBytes: space.used, totalBytes: space.total } : undefined;
}

/** A unit's own configuration; undefined if there is no such unit. */
export async function readConfig(connection: Connection, unit: Unit, signal: AbortSignal): Promise<Config | undefined> {
  const found = read(connection, unitPath(unit), { project: unit.project }, z.object({ config: Strings }), signal);
  return (await ifThere(found))?.config;
}

/** Whether there is such a unit. */
export async function exists(connection: Connection, unit: Unit, signal: AbortSignal): Promise<boolean> {
  const found = read(connection, unitPath(unit), { project: unit.project }, z.object({}), signal);
  return (await ifThere(found)) !== undefined;
}

/** Whether the server works on a unit: a transfer, a snapshot, a change of state. */
export async function isBusy(connection: Connection, unit: Unit, signal: AbortSignal): Promise<boolean> {
  return (await listBusy(connection, signal)).some((other) => unitId(other) === unitId(unit));
}

/** The units that the server works on. */
export async function listBusy(connection: Connection, signal: AbortSignal): Promise<readonly Unit[]> {
  const query = { ...WITH_FIELDS, ...EVERYWHERE };
  const byStatus = await read(connection, "/1.0/operations", query, OperationsSchema, signal);
  const running = Object.values(byStatus)
    .flatMap((list) => list ?? [])
    .filter(({ status_code }) => status_code < 200);
  const touched = running.flatMap(({ resources }) => Object.values(resources ?? {})).flatMap((list) => list ?? []);
  return touched.map(unitAt).filter((unit) => unit !== undefined);
}

/**
 * The pools that are named anywhere within sight: servers before 6.0.6 and 6.21 refuse to list them to a restricted
 * certificate, and answer for each one whose name is known. A pool that nothing uses is not found, and not missed.
 */
export async function findPools(
  connection: Connection,
  configured: readonly string[],
  signal: AbortSignal,
): Promise<readonly Pool[]> {
  const [instances, profiles, projects] = await Promise.all([
    listInstances(connection, signal),
    listProfiles(connection, signal),
    read(connection, "/1.0/projects", WITH_FIELDS, z.array(ProjectSchema), signal),
  ]);
  const devices = [...instances.map((instance) => instance.expandedDevices), ...profiles.map(({ devices }) => devices)];
  const ofDevices = devices.flatMap((each) => Object.values(each)).map((device) => device["pool"] ?? "");
  const used = projects.flatMap((project) => project.used_by ?? []).map(unitAt);
  const ofVolumes = used.map((unit) => (unit?.kind === "volume" ? unit.pool : ""));
  const names = new Set([...configured, ...ofDevices, ...ofVolumes].filter((name) => name !== ""));
  const found = await Promise.all(
    [...names].sort().map((name) => {
      const path = `/1.0/storage-pools/${encodeURIComponent(name)}`;
      return ifThere(read(connection, path, {}, PoolSchema, signal));
    }),
  );
  return found.filter((pool) => pool !== undefined);
}

async function ifThere<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof IncusRefusal && error.status === 404) return undefined;
    throw error;
  }
}
