import { z } from "zod";
import type { RootVolume } from "../model/copy.ts";
import { IncusRefusal } from "../model/errors.ts";
import type { Config } from "../model/state.ts";
import { unitLabel } from "../model/unit.ts";
import { readMetadata } from "./answer.ts";
import { carryOut, type Via } from "./carry-out.ts";
import type { Connection } from "./connection.ts";
import type { Request } from "./exchange.ts";
import { Strings } from "./instances.ts";
import { rootVolumePath } from "./unit-path.ts";

const MOST_ATTEMPTS = 5;
const Volume = z.object({ description: z.string().default(""), config: Strings });

/** The configuration of a root volume; undefined if there is none. */
export async function readRootConfig(
  connection: Connection,
  volume: RootVolume,
  signal: AbortSignal,
): Promise<Config | undefined> {
  try {
    return (await read(connection, volume, signal)).now.config;
  } catch (error) {
    if (error instanceof IncusRefusal && error.status === 404) return undefined;
    throw error;
  }
}

/** Sets keys by a PUT of all of them, since servers take no PATCH of a root volume; the tag sees to it that none is lost. */
export async function patchRootConfig(
  via: Via,
  volume: RootVolume,
  config: Config,
  signal: AbortSignal,
): Promise<void> {
  const what = `change the root volume of ${unitLabel(volume.unit)}`;
  const isDone = async (under: AbortSignal) => holds((await read(via.connection, volume, under)).now.config, config);
  for (let attempt = 1; ; attempt += 1) {
    const { now, etag } = await read(via.connection, volume, signal);
    if (holds(now.config, config)) return;
    const body = { description: now.description, config: { ...now.config, ...config } };
    const request: Request = { ...addressOf(volume), method: "PUT", body, ...(etag === undefined ? {} : { etag }) };
    try {
      return await carryOut(via, { what, unit: volume.unit, request, isDone }, signal);
    } catch (error) {
      const isOutdated = error instanceof IncusRefusal && error.status === 412;
      if (!isOutdated || attempt === MOST_ATTEMPTS) throw error;
    }
  }
}

async function read(connection: Connection, volume: RootVolume, signal: AbortSignal) {
  const request: Request = { method: "GET", ...addressOf(volume) };
  const answer = await connection.request(request, signal);
  const now = readMetadata({ host: connection.host, ...request }, answer, Volume);
  return { now, etag: answer.kind === "sync" ? answer.etag : undefined };
}

function addressOf(volume: RootVolume) {
  return { path: rootVolumePath(volume), query: { project: volume.unit.project } };
}

function holds(now: Config, config: Config): boolean {
  return Object.entries(config).every(([key, value]) => now[key] === value);
}
