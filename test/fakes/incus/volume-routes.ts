import { z } from "zod";
import { filterOf } from "./filter.ts";
import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import { refuseHidden, requireMatch } from "./instance-routes.ts";
import { sendVolume } from "./migrate-routes.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import { isRecursive, poolOf, projectQuery } from "./server-routes.ts";
import type { DeviceKeys, Keys, VolumeRecord } from "./state.ts";
import { addRecord, projectWith, removeRecord, volumesOf } from "./state.ts";
import { mayUse, requireProject } from "./trust.ts";
import { fullVolumeJson, mergedConfig, snapshotAsVolumeJson, usageOf, usedBy, volumeJson } from "./unit-json.ts";
import { createVolume } from "./volume-create.ts";

const ALL = "/1.0/storage-pools/:pool/volumes/custom";
const ONE = `${ALL}/:name`;

/** Custom volumes. */
export const volumeRoutes: readonly Route[] = [
  { method: "GET", path: ALL, handle: listVolumes },
  { method: "POST", path: ALL, handle: createVolume },
  { method: "GET", path: ONE, handle: getVolume },
  { method: "POST", path: ONE, handle: renameOrMigrate },
  { method: "PUT", path: ONE, handle: (context) => editVolume(context, (_, config) => config) },
  { method: "PATCH", path: ONE, handle: (context) => editVolume(context, mergedConfig) },
  { method: "DELETE", path: ONE, handle: deleteVolume },
  {
    method: "GET",
    path: `${ONE}/state`,
    handle: (context) => sync({ usage: { used: usageOf(context.host.state, volumeOf(context)), total: 0 } }),
  },
];

function listVolumes(context: Context): Reply {
  const { host, caller, query } = context;
  const all = query.get("all-projects") === "true";
  if (all && query.has("project")) {
    throw new Refusal(400, "Cannot specify a project when requesting all projects");
  }
  const pool = poolOf(context);
  if (!all && !mayUse(caller, context.project) && host.generation.forbiddenListsAreEmpty) return sync([]);
  if (!all) requireProject(caller, host.state, context.project);
  const project = volumeProject(context);
  const matches = filterOf(query);
  const seen = volumesOf(host.state)
    .filter(
      (volume) => volume.pool === pool.name && (all ? mayUse(caller, volume.project) : volume.project === project),
    )
    .filter((volume) => matches(volumeJson(host.state, volume)));
  if (!isRecursive(context)) return sync(seen.flatMap((volume) => urlsOf(volume, !host.generation.fullVolumes)));
  const list = seen.flatMap((volume) => volumesJson(context, volume));
  // A restricted certificate that asks about all projects at once is told of no volume's users.
  return sync(all && caller.restricted ? list.map((json) => ({ ...json, used_by: [] })) : list);
}

/** With its snapshots inside it, or beside it, or without, as generation and recursion have it. */
function volumesJson({ host, query }: Context, volume: VolumeRecord): object[] {
  if (!host.generation.fullVolumes) {
    const snapshots = volume.snapshots.map((snapshot) => snapshotAsVolumeJson(volume, snapshot));
    return [volumeJson(host.state, volume), ...snapshots];
  }
  return [query.get("recursion") === "2" ? fullVolumeJson(host.state, volume) : volumeJson(host.state, volume)];
}

function urlsOf(volume: VolumeRecord, withSnapshots: boolean): string[] {
  const snapshots = withSnapshots ? volume.snapshots.map(({ name }) => volumeSnapshotUrl(volume, name)) : [];
  return [volumeUrl(volume), ...snapshots];
}

function getVolume(context: Context): Reply {
  const volume = volumeOf(context);
  const full = context.host.generation.fullVolumes && context.query.get("recursion") === "1";
  const json = full ? fullVolumeJson(context.host.state, volume) : volumeJson(context.host.state, volume);
  return sync(json, editable(volume));
}

/** The volume that the path names. */
export function volumeOf(context: Context): VolumeRecord {
  const { host, caller, project } = context;
  requireProject(caller, host.state, project);
  const pool = poolOf(context);
  const found = host.state.units.get(`${volumeProject(context)}/${pool.name}/${param(context, "name")}`);
  if (found?.kind === "volume") return found;
  throw new Refusal(404, "Storage pool volume not found");
}

/** The project whose volumes a request really is about. */
export function volumeProject({ host, project }: Context): string {
  return projectWith(host.state, "features.storage.volumes", project);
}

export function volumeUrl(volume: Pick<VolumeRecord, "name" | "pool" | "project">): string {
  return `/1.0/storage-pools/${volume.pool}/volumes/custom/${volume.name}${projectQuery(volume.project)}`;
}

export function volumeSnapshotUrl(volume: VolumeRecord, name: string): string {
  return volumeUrl(volume).replace(/(\?|$)/, `/snapshots/${name}$1`);
}

const Rename = z.object({ name: z.string().default(""), migration: z.boolean().default(false) });

function renameOrMigrate(context: Context): Reply {
  const { name, migration } = context.json(Rename);
  const volume = volumeOf(context);
  if (name === "") {
    const rule = "Invalid storage volume name: Names must start and end with an alphanumeric character";
    throw new Refusal(400, context.host.generation.strictSnapshotNames ? rule : "No name provided");
  }
  if (migration) return sendVolume(context, volume);
  const { state } = context.host;
  if (state.units.has(`${volume.project}/${volume.pool}/${name}`)) {
    throw new Refusal(409, "Volume by that name already exists");
  }
  const users = usedBy(state, volume);
  if (users.some((instance) => instance.status !== "Stopped")) {
    throw new Refusal(500, "Volume is still in use by running instances");
  }
  removeRecord(state, volume);
  for (const instance of users) instance.devices = followed(instance.devices, volume, name);
  volume.name = name;
  addRecord(state, volume);
  return { kind: "sync", metadata: null, status: 201, location: volumeUrl(volume) };
}

/** The instances that use a volume keep using it under its new name. */
function followed(devices: DeviceKeys, { pool, name: old }: VolumeRecord, name: string): DeviceKeys {
  const follow = (device: Keys): Keys =>
    device["pool"] === pool && device["source"] === old ? { ...device, source: name } : device;
  return Object.fromEntries(Object.entries(devices).map(([key, device]) => [key, follow(device)]));
}

const Edit = z.object({ description: z.string().default(""), config: z.record(z.string(), z.string()).nullish() });

function editVolume(
  context: Context,
  merge: (old: Record<string, string>, edit: Record<string, string>) => object,
): Reply {
  const volume = volumeOf(context);
  const { description, config } = context.json(Edit);
  requireMatch(context, editable(volume));
  volume.config = { ...merge(volume.config, config ?? {}) };
  // Every generation blanks the description of a volume when a PATCH does not bring one.
  volume.description = description;
  context.host.events.lifecycle(volume.project, "storage-volume-updated", volumeUrl(volume));
  return sync({});
}

function deleteVolume(context: Context): Reply {
  const { state, events } = context.host;
  const volume = volumeOf(context);
  refuseInUse(context, volume);
  const names = new Set(volume.snapshots.map((snapshot) => snapshot.name));
  volume.snapshots = [];
  volume.datasets = volume.datasets.filter((dataset) => !names.has(dataset.name));
  refuseHidden(volume, poolOf(context).driver);
  removeRecord(state, volume);
  events.lifecycle(volume.project, "storage-volume-deleted", volumeUrl(volume));
  return sync({});
}

function refuseInUse(context: Context, volume: VolumeRecord): void {
  if (usedBy(context.host.state, volume).length > 0) throw new Refusal(400, "The storage volume is still in use");
}

function editable(volume: VolumeRecord): unknown {
  return [volume.name, volume.config];
}
