import type { ServerResponse } from "node:http";
import { z } from "zod";
import { packUnit, unpack } from "./backup-file.ts";
import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import { newInstance, refuseDuplicate } from "./instance-create.ts";
import { instanceOf, instanceUrl } from "./instance-routes.ts";
import { rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import { poolOf } from "./server-routes.ts";
import type { BackupRecord, UnitRecord } from "./state.ts";
import { addRecord, rootDevice } from "./state.ts";
import { requireProject } from "./trust.ts";
import { copyOfDevices, listed } from "./unit-json.ts";
import { newVolume } from "./volume-create.ts";
import { volumeOf, volumeUrl } from "./volume-routes.ts";
import { startWork } from "./work.ts";

const INSTANCE = "/1.0/instances/:name/backups";
const VOLUME = "/1.0/storage-pools/:pool/volumes/custom/:name/backups";
const CHUNK_BYTES = 32 * 1024;

/** Units as files: made, read, streamed as they are made, and removed. */
export const backupRoutes: readonly Route[] = [...routesFor(INSTANCE, instanceOf), ...routesFor(VOLUME, volumeOf)];

function routesFor(all: string, unitOf: (context: Context) => UnitRecord): Route[] {
  const one = `${all}/:backup`;
  return [
    { method: "GET", path: all, handle: (context) => listBackups(context, unitOf(context)) },
    { method: "POST", path: all, handle: (context) => createBackup(context, unitOf(context)) },
    { method: "GET", path: one, handle: (context) => sync(backupJson(backupOf(context, unitOf(context)))) },
    { method: "DELETE", path: one, handle: (context) => deleteBackup(context, unitOf(context)) },
    { method: "GET", path: `${one}/export`, handle: (context) => exportBackup(context, unitOf(context)) },
  ];
}

const NewBackup = z.object({
  name: z.string().default(""),
  instance_only: z.boolean().default(false),
  volume_only: z.boolean().default(false),
});

function listBackups(context: Context, unit: UnitRecord): Reply {
  const url = (backup: BackupRecord) => below(unit, backup.name);
  return sync(listed(context, unit.backups, url, backupJson));
}

function createBackup(context: Context, unit: UnitRecord): Reply {
  const { host, headers } = context;
  const { name: asked, instance_only, volume_only } = context.json(NewBackup);
  const snapshotless = instance_only || volume_only;
  if (headers.accept === "application/octet-stream" && host.generation.directBackup) {
    if (asked !== "") {
      const why = "No backup name can be set when requesting a direct backup with Accept: application/octet-stream";
      throw new Refusal(400, why);
    }
    return streamDirectly(context, unit, snapshotless);
  }
  const name = asked === "" ? `backup${unit.backups.length}` : asked;
  if (unit.backups.some((backup) => backup.name === name)) throw new Refusal(409, `Backup "${name}" already exists`);
  return startWork(context, {
    ...aboutBackup(unit, name),
    work: () => {
      unit.backups.push({ name, createdAt: host.now(), snapshotless, file: packUnit(unit, snapshotless) });
    },
  });
}

/** The file is the answer itself. Meanwhile an operation runs, and fails when the stream is cut. */
function streamDirectly(context: Context, unit: UnitRecord, snapshotless: boolean): Reply {
  return {
    kind: "stream",
    write: async (response) => {
      const sent = stream(context, response, packUnit(unit, snapshotless), undefined);
      startWork(context, { ...aboutBackup(unit, ""), work: () => sent });
      await sent.catch(() => response.socket?.destroy());
    },
  };
}

function aboutBackup(unit: UnitRecord, name: string) {
  const isInstance = unit.kind === "instance";
  return {
    description: isInstance ? "Backing up instance" : "Creating custom volume backup",
    project: unit.project,
    resources: {
      ...(name === "" ? {} : { backups: [below(unit, name)] }),
      [isInstance ? "instances" : "storage_volumes"]: [urlOf(unit)],
    },
  };
}

function exportBackup(context: Context, unit: UnitRecord): Reply {
  const { file } = backupOf(context, unit);
  return { kind: "stream", write: (response) => stream(context, response, file, file.length) };
}

/** Writes a file as it is read. A stream that goes wrong ends early: by a cut, or as if that were all. */
async function stream(
  { fault }: Context,
  response: ServerResponse,
  file: Buffer,
  length: number | undefined,
): Promise<void> {
  const end = fault?.kind === "stream-short" ? Math.min(fault.afterBytes, file.length) : file.length;
  const cutAt = fault?.kind === "cut-during" ? file.length / 2 : Number.POSITIVE_INFINITY;
  const known = length === undefined ? {} : { "content-length": end };
  response.writeHead(200, { "content-type": "application/octet-stream", ...known });
  for (let at = 0; at < end; at += CHUNK_BYTES) {
    if (at + CHUNK_BYTES > cutAt) throw new Refusal(500, "write: broken pipe");
    await written(response, file.subarray(at, Math.min(at + CHUNK_BYTES, end)));
  }
  response.end();
  if (end < file.length) throw new Refusal(500, "Backup failed: signal: killed");
}

function written(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    response.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function deleteBackup(context: Context, unit: UnitRecord): Reply {
  const { name } = backupOf(context, unit);
  return startWork(context, {
    ...aboutBackup(unit, name),
    description: unit.kind === "instance" ? "Removing instance backup" : "Deleting custom volume backup",
    work: () => {
      unit.backups = unit.backups.filter((backup) => backup.name !== name);
    },
  });
}

/** `POST /1.0/instances` with a file for a body. */
export function importInstance(context: Context): Reply {
  const { host, project, headers, body } = context;
  requireProject(context.caller, host.state, project);
  const { index, fill } = unpack(body);
  const { container } = index.config;
  if (container === undefined) throw new Refusal(400, "Valid instance config not found in index");
  const devices = copyOfDevices(container.devices);
  const pool = header(headers["x-incus-pool"]);
  const root = rootDevice(devices)?.name ?? "root";
  if (pool !== "") devices[root] = { type: "disk", path: "/", ...devices[root], pool };
  const name = header(headers["x-incus-name"]) || index.name;
  const type = index.type === "virtual-machine" ? index.type : "container";
  const { architecture, description, profiles } = container;
  const config = container.config ?? {};
  const source = { type: "none", source: "" };
  const asked = { name, type, architecture, config, devices, description, profiles, source } as const;
  const instance = newInstance(context, { ...asked, ephemeral: false, start: false });
  return startWork(context, {
    description: "Restoring backup",
    project,
    resources: { instances: [instanceUrl(instance)] },
    work: () => {
      refuseDuplicate(host, instance);
      fill(instance, host.state.pools.get(instance.pool)?.driver ?? "dir");
      addRecord(host.state, instance);
    },
  });
}

/** `POST …/volumes/custom` with a file for a body. */
export function importVolume(context: Context): Reply {
  const { host, headers, body } = context;
  requireProject(context.caller, host.state, context.project);
  const { index, fill } = unpack(body);
  const name = header(headers["x-incus-name"]) || index.name;
  const { volume: made } = index.config;
  if (made === undefined) throw new Refusal(500, "Valid volume config not found in index");
  const { description, content_type } = made;
  const config = made.config ?? {};
  const volume = newVolume(context, { name, type: "custom", content_type, config, description });
  return startWork(context, {
    description: "Restoring custom volume backup",
    project: volume.project,
    resources: { storage_volumes: [volumeUrl(volume)] },
    work: () => {
      const exists = host.state.units.has(`${volume.project}/${volume.pool}/${volume.name}`);
      if (exists) throw new Refusal(409, "Volume by that name already exists");
      fill(volume, poolOf(context).driver);
      addRecord(host.state, volume);
    },
  });
}

function header(value: string | string[] | undefined): string {
  return Array.isArray(value) ? (value[0] ?? "") : (value ?? "");
}

function backupOf(context: Context, unit: UnitRecord): BackupRecord {
  const found = unit.backups.find((backup) => backup.name === param(context, "backup"));
  if (found === undefined)
    throw new Refusal(404, unit.kind === "instance" ? "Instance backup not found" : "Storage volume backup not found");
  return found;
}

function backupJson({ name, createdAt, snapshotless }: BackupRecord): object {
  const created_at = rfc3339Nanos(createdAt).replace(/\.\d+Z$/, "Z");
  return { name, created_at, expires_at: ZERO_DATE, instance_only: snapshotless, optimized_storage: false };
}

function urlOf(unit: UnitRecord): string {
  return unit.kind === "instance" ? instanceUrl(unit) : volumeUrl(unit);
}

function below(unit: UnitRecord, name: string): string {
  return urlOf(unit).replace(/(\?|$)/, `/backups/${name}$1`);
}
