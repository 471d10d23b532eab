import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import type { Server } from "../model/ports.ts";
import type { Unit } from "../model/unit.ts";
import { readMetadata } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { unitPath } from "./unit-path.ts";

const Usage = z.object({ usage: z.number().optional() });
const InstanceState = z.object({ disk: z.record(z.string(), Usage).nullish() });
const VolumeState = z.object({ usage: z.object({ used: z.number().optional() }).nullish() });

/** What the size of a unit is asked of. */
export type Asked = Pick<Server, "pools" | "instance"> & { readonly connection: Connection };

/**
 * What a unit and its snapshots hold on disk, which is about what sending all of it comes to; undefined where a server
 * does not know that. On btrfs it tells what no snapshot shares, on dir nothing, and of what was made from an image on
 * ZFS it leaves the image out.
 */
export async function readUsage(server: Asked, unit: Unit, signal: AbortSignal): Promise<number | undefined> {
  const root = unit.kind === "instance" ? await rootOf(server, unit, signal) : { pool: unit.pool, device: undefined };
  if (root === undefined) return undefined;
  const pool = (await server.pools([root.pool], signal)).find(({ name }) => name === root.pool);
  if (pool?.driver !== "zfs") return undefined;
  const bytes = await usedBy(server.connection, unit, root.device, signal).catch(noneIfNotTold);
  return bytes !== undefined && bytes > 0 ? bytes : undefined;
}

async function usedBy(
  connection: Connection,
  unit: Unit,
  device: string | undefined,
  signal: AbortSignal,
): Promise<number | undefined> {
  const path = `${unitPath(unit)}/state`;
  const asked = { host: connection.host, method: "GET", path };
  const answer = await connection.request({ method: "GET", path, query: { project: unit.project } }, signal);
  if (device === undefined) return readMetadata(asked, answer, VolumeState).usage?.used;
  return readMetadata(asked, answer, InstanceState).disk?.[device]?.usage;
}

/** A server may refuse to measure, or answer in words of its own: no copy fails for want of a total. */
function noneIfNotTold(error: unknown): undefined {
  if (error instanceof AgentError && error.code !== "incus.unreachable") return undefined;
  throw error;
}

/** The pool and the device of an instance's root disk; undefined if it shares its data with an image. */
async function rootOf(
  server: Asked,
  unit: Extract<Unit, { kind: "instance" }>,
  signal: AbortSignal,
): Promise<{ readonly pool: string; readonly device: string } | undefined> {
  const instance = await server.instance(unit, signal);
  if (instance === undefined || instance.config["volatile.base_image"] !== undefined) return undefined;
  const root = Object.entries(instance.expandedDevices).find(([, { type, path }]) => type === "disk" && path === "/");
  const pool = root?.[1]["pool"];
  return root === undefined || pool === undefined ? undefined : { pool, device: root[0] };
}
