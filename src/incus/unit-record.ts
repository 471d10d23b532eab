import { z } from "zod";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { PoolWords, UnitRecord, Words } from "../model/export.ts";
import type { InstanceUnit, Unit, VolumeUnit } from "../model/unit.ts";
import { unitLabel } from "../model/unit.ts";
import { readMetadata } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { DeviceMap } from "./instances.ts";
import { unitPath } from "./unit-path.ts";

const AnyWords = z.record(z.string(), z.unknown());
const PoolSchema = z.object({ name: z.string(), driver: z.string() });
const InstanceFacts = z.object({
  type: z.string().default("container"),
  profiles: z
    .array(z.string())
    .nullish()
    .transform((list) => list ?? []),
  expanded_devices: DeviceMap,
});

/** All that the API says of a unit; undefined if there is none. */
export async function recordOf(
  connection: Connection,
  unit: Unit,
  signal: AbortSignal,
): Promise<UnitRecord | undefined> {
  try {
    return unit.kind === "instance"
      ? await instanceRecord(connection, unit, signal)
      : await volumeRecord(connection, unit, signal);
  } catch (error) {
    if (error instanceof IncusRefusal && error.status === 404) return undefined;
    throw error;
  }
}

async function instanceRecord(connection: Connection, unit: InstanceUnit, signal: AbortSignal): Promise<UnitRecord> {
  const { project } = unit;
  const instance = await read(connection, unitPath(unit), project, AnyWords, signal);
  const { type, profiles, expanded_devices } = InstanceFacts.parse(instance);
  const root = Object.values(expanded_devices).find((device) => device["type"] === "disk" && device["path"] === "/");
  const pool = root?.["pool"];
  if (pool === undefined) throw new AgentError("incus.bad-reply", `Cannot tell the pool of ${unitLabel(unit)}`);
  const path = `${poolPath(pool)}/volumes/${type}/${encodeURIComponent(unit.name)}`;
  const [volume, ofPool, profileWords] = await Promise.all([
    read(connection, path, project, AnyWords, signal),
    poolWords(connection, pool, signal),
    Promise.all(profiles.map((name) => read(connection, profilePath(name), project, AnyWords, signal))),
  ]);
  return { kind: "instance", instance, volume, pool: ofPool, profiles: profileWords };
}

async function volumeRecord(connection: Connection, unit: VolumeUnit, signal: AbortSignal): Promise<UnitRecord> {
  const [volume, pool] = await Promise.all([
    read(connection, unitPath(unit), unit.project, AnyWords, signal),
    poolWords(connection, unit.pool, signal),
  ]);
  return { kind: "volume", volume, pool };
}

function poolWords(connection: Connection, name: string, signal: AbortSignal): Promise<PoolWords> {
  return read(connection, poolPath(name), undefined, PoolSchema, signal);
}

async function read<T extends PoolWords | Words>(
  connection: Connection,
  path: string,
  project: string | undefined,
  schema: z.ZodType<T>,
  signal: AbortSignal,
): Promise<T> {
  const answer = await connection.request({ method: "GET", path, query: { project } }, signal);
  return readMetadata({ host: connection.host, method: "GET", path }, answer, schema);
}

function poolPath(name: string): string {
  return `/1.0/storage-pools/${encodeURIComponent(name)}`;
}

function profilePath(name: string): string {
  return `/1.0/profiles/${encodeURIComponent(name)}`;
}
