import type { Context } from "./host.ts";
import { rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import { isRecursive, projectQuery } from "./server-routes.ts";
import type { DeviceKeys, InstanceRecord, Keys, SnapshotRecord, State, UnitRecord, VolumeRecord } from "./state.ts";
import { expandedConfig, expandedDevices, instancesOf } from "./state.ts";

const STATUS_CODES = { Running: 103, Stopped: 102, Frozen: 110, Error: 112 } as const;

/** An instance as the API shows it; `full` adds its state, backups and snapshots. */
export function instanceJson(state: State, instance: InstanceRecord, full: boolean): Record<string, unknown> {
  const status = { status: instance.status, status_code: STATUS_CODES[instance.status] };
  const json = {
    architecture: instance.architecture,
    config: instance.config,
    devices: instance.devices,
    ephemeral: instance.ephemeral,
    profiles: instance.profiles,
    stateful: false,
    description: instance.description,
    created_at: rfc3339Nanos(instance.createdAt),
    expanded_config: expandedConfig(state, instance),
    expanded_devices: expandedDevices(state, instance),
    name: instance.name,
    ...status,
    last_used_at: instance.lastUsedAt === 0n ? "1970-01-01T00:00:00Z" : rfc3339Nanos(instance.lastUsedAt),
    location: instance.location,
    type: instance.type,
    project: instance.project,
  };
  if (!full) return json;
  const snapshots = instance.snapshots.map((snapshot) => instanceSnapshotJson(state, instance, snapshot, -1));
  return {
    ...json,
    backups: null,
    state: stateJson(state, instance),
    snapshots: snapshots.length === 0 ? null : snapshots,
  };
}

/** What a unit holds with its snapshots, as ZFS counts it; the others do not say, or something else. */
export function usageOf(state: State, unit: UnitRecord): number | undefined {
  if (state.pools.get(unit.pool)?.driver !== "zfs") return undefined;
  return unit.datasets.reduce((sum, { content }) => sum + content.length, unit.content.length);
}

export function stateJson(state: State, instance: InstanceRecord): object {
  const usage = usageOf(state, instance);
  return {
    status: instance.status,
    status_code: STATUS_CODES[instance.status],
    disk: usage === undefined ? {} : { root: { usage, total: 0 } },
    memory: { usage: 0, usage_peak: 0, total: 0, swap_usage: 0, swap_usage_peak: 0 },
    network: null,
    pid: 0,
    processes: 0,
    cpu: { usage: 0, allocated_time: 0 },
    started_at: ZERO_DATE,
    os_info: null,
  };
}

export function instanceSnapshotJson(
  state: State,
  instance: InstanceRecord,
  snapshot: SnapshotRecord,
  sizeBytes: number,
): object {
  // Of profiles a snapshot has none of its own.
  const own = { project: instance.project, profiles: instance.profiles, ...snapshot };
  return {
    expires_at: snapshot.expiresAt,
    architecture: instance.architecture,
    config: snapshot.config,
    created_at: rfc3339Nanos(snapshot.createdAt),
    devices: snapshot.devices,
    ephemeral: instance.ephemeral,
    expanded_config: expandedConfig(state, own),
    expanded_devices: expandedDevices(state, own),
    last_used_at: ZERO_DATE,
    name: snapshot.name,
    profiles: instance.profiles,
    stateful: false,
    size: sizeBytes,
  };
}

/** The size of a snapshot where the driver knows it: on ZFS, and -1 for a record that lost its dataset. */
export function snapshotSize(state: State, instance: InstanceRecord, snapshot: SnapshotRecord): number {
  if (state.pools.get(instance.pool)?.driver !== "zfs") return -1;
  return instance.datasets.find((dataset) => dataset.name === snapshot.name)?.content.length ?? -1;
}

export function volumeJson(state: State, volume: VolumeRecord): object {
  return {
    config: volume.config,
    description: volume.description,
    name: volume.name,
    type: "custom",
    used_by: usedBy(state, volume).map((i) => `/1.0/instances/${i.name}${projectQuery(i.project)}`),
    location: volume.location,
    content_type: volume.contentType,
    project: volume.project,
    created_at: rfc3339Nanos(volume.createdAt),
  };
}

/** A volume with its snapshots, as servers with `storage_volume_full` give it. */
export function fullVolumeJson(state: State, volume: VolumeRecord): object {
  return {
    ...volumeJson(state, volume),
    backups: [],
    snapshots: volume.snapshots.map((snapshot) => volumeSnapshotJson(snapshot, snapshot.name)),
    state: { usage: { total: 0 } },
  };
}

/** A snapshot as the list of all volumes has it on servers without `storage_volume_full`. */
export function snapshotAsVolumeJson(volume: VolumeRecord, snapshot: SnapshotRecord): object {
  return {
    config: snapshot.config,
    description: snapshot.description,
    name: `${volume.name}/${snapshot.name}`,
    type: "custom",
    used_by: [],
    location: volume.location,
    content_type: volume.contentType,
    project: volume.project,
    created_at: rfc3339Nanos(snapshot.createdAt),
  };
}

export function volumeSnapshotJson(snapshot: SnapshotRecord, name: string): object {
  return {
    description: snapshot.description,
    expires_at: snapshot.expiresAt === ZERO_DATE ? null : snapshot.expiresAt,
    name,
    config: snapshot.config,
    content_type: "",
    created_at: rfc3339Nanos(snapshot.createdAt),
  };
}

/** The instances that have the volume among their disks. */
export function usedBy(state: State, volume: VolumeRecord): InstanceRecord[] {
  return instancesOf(state).filter((instance) =>
    Object.values(expandedDevices(state, instance)).some(
      (device) => device["type"] === "disk" && device["pool"] === volume.pool && device["source"] === volume.name,
    ),
  );
}

/** Merges as a PATCH does: an empty string takes the key away. */
export function mergedConfig(old: Keys, patch: Keys): Keys {
  return Object.fromEntries(Object.entries({ ...old, ...patch }).filter(([, value]) => value !== ""));
}

export function copyOfDevices(devices: DeviceKeys): DeviceKeys {
  return Object.fromEntries(Object.entries(devices).map(([name, device]) => [name, { ...device }]));
}

/** Elements or, without recursion, their addresses. */
export function listed<T>(context: Context, items: readonly T[], url: (item: T) => string, json: (item: T) => object) {
  return isRecursive(context) ? items.map(json) : items.map(url);
}
