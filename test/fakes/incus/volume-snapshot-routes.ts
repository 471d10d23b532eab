import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import { rfc3339Nanos } from "./nanos.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import { NewExpiry, NewName, NewSnapshot, nextName } from "./snapshot-routes.ts";
import { dropSnapshot, expiryOf, renameSnapshot, takeSnapshot } from "./snapshot-store.ts";
import type { SnapshotRecord, VolumeRecord } from "./state.ts";
import { listed, volumeSnapshotJson } from "./unit-json.ts";
import { volumeOf, volumeSnapshotUrl, volumeUrl } from "./volume-routes.ts";
import { startWork } from "./work.ts";

const ALL = "/1.0/storage-pools/:pool/volumes/custom/:name/snapshots";
const ONE = `${ALL}/:snapshot`;

/** The snapshots of custom volumes. */
export const volumeSnapshotRoutes: readonly Route[] = [
  { method: "GET", path: ALL, handle: listSnapshots },
  { method: "POST", path: ALL, handle: createSnapshot },
  { method: "GET", path: ONE, handle: getSnapshot },
  { method: "POST", path: ONE, handle: renameVolumeSnapshot },
  { method: "PUT", path: ONE, handle: editSnapshot },
  { method: "PATCH", path: ONE, handle: editSnapshot },
  { method: "DELETE", path: ONE, handle: deleteSnapshot },
];

/** Here, and here only, a snapshot's name has the volume's before it. */
function listSnapshots(context: Context): Reply {
  const volume = volumeOf(context);
  const url = (snapshot: SnapshotRecord) => volumeSnapshotUrl(volume, snapshot.name);
  return sync(
    listed(context, volume.snapshots, url, (snapshot) =>
      volumeSnapshotJson(snapshot, `${volume.name}/${snapshot.name}`),
    ),
  );
}

function getSnapshot(context: Context): Reply {
  const volume = volumeOf(context);
  const { name, description, expiresAt, config, createdAt } = snapshotOf(context, volume);
  const { contentType: content_type } = volume;
  return sync({ description, expires_at: expiresAt, name, config, content_type, created_at: rfc3339Nanos(createdAt) }, [
    description,
    expiresAt,
  ]);
}

function createSnapshot(context: Context): Reply {
  const { host } = context;
  const volume = volumeOf(context);
  const asked = context.json(NewSnapshot);
  const name = asked.name === "" ? nextName(volume.snapshots) : asked.name;
  refuseBadName(name, host.generation.strictSnapshotNames);
  if (volume.snapshots.some((snapshot) => snapshot.name === name)) {
    throw new Refusal(409, `Snapshot "${name}" already in use`);
  }
  const createdAt = host.now();
  return startWork(context, {
    description: "Creating storage volume snapshot",
    project: volume.project,
    resources: {
      storage_volume_snapshots: [volumeSnapshotUrl(volume, name)],
      storage_volumes: [volumeUrl(volume)],
    },
    work: () => {
      const { description, config, pool } = volume;
      const driver = host.state.pools.get(pool)?.driver;
      const expiresAt = expiryOf(asked.expires_at, config, createdAt);
      takeSnapshot(volume, { name, createdAt, expiresAt, driver, description });
      host.events.lifecycle(volume.project, "storage-volume-snapshot-created", volumeSnapshotUrl(volume, name));
    },
  });
}

function refuseBadName(name: string, strict: boolean): void {
  const [space, slash] = strict
    ? [
        "Invalid storage volume snapshot name: Name cannot contain white space",
        'Invalid storage volume snapshot name: Name contains invalid character "/"',
      ]
    : ["Storage name cannot contain white space", "Storage volume snapshot names may not contain slashes"];
  if (/\s/.test(name)) throw new Refusal(400, space);
  if (name.includes("/")) throw new Refusal(400, slash);
}

function renameVolumeSnapshot(context: Context): Reply {
  const volume = volumeOf(context);
  const snapshot = snapshotOf(context, volume);
  const { name } = context.json(NewName);
  if (volume.snapshots.some((other) => other.name === name)) {
    throw new Refusal(409, `Storage volume snapshot "${name}" already in use`);
  }
  return startWork(context, {
    description: "Renaming storage volume snapshot",
    project: volume.project,
    resources: { storage_volume_snapshots: [volumeSnapshotUrl(volume, snapshot.name)] },
    work: () => renameSnapshot(volume, snapshot, name),
  });
}

function editSnapshot(context: Context): Reply {
  const snapshot = snapshotOf(context, volumeOf(context));
  const { expires_at } = context.json(NewExpiry);
  snapshot.expiresAt = expires_at ?? snapshot.expiresAt;
  return sync({});
}

function deleteSnapshot(context: Context): Reply {
  const { host } = context;
  const volume = volumeOf(context);
  const { name } = snapshotOf(context, volume);
  return startWork(context, {
    description: "Deleting storage volume snapshot",
    project: volume.project,
    resources: { storage_volume_snapshots: [volumeSnapshotUrl(volume, name)] },
    work: () => {
      dropSnapshot(volume, name);
      host.events.lifecycle(volume.project, "storage-volume-snapshot-deleted", volumeSnapshotUrl(volume, name));
    },
  });
}

function snapshotOf(context: Context, volume: VolumeRecord): SnapshotRecord {
  const found = volume.snapshots.find((snapshot) => snapshot.name === param(context, "snapshot"));
  if (found === undefined) throw new Refusal(404, "Storage pool volume not found");
  return found;
}
