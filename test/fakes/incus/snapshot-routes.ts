import { z } from "zod";
import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import { instanceOf, instanceUrl } from "./instance-routes.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import { dropSnapshot, expiryOf, renameSnapshot, takeSnapshot } from "./snapshot-store.ts";
import type { InstanceRecord, SnapshotRecord } from "./state.ts";
import { instanceSnapshotJson, listed, snapshotSize } from "./unit-json.ts";
import { startWork } from "./work.ts";

const ALL = "/1.0/instances/:name/snapshots";
const ONE = `${ALL}/:snapshot`;

/** The snapshots of instances. */
export const instanceSnapshotRoutes: readonly Route[] = [
  { method: "GET", path: ALL, handle: listSnapshots },
  { method: "POST", path: ALL, handle: createSnapshot },
  { method: "GET", path: ONE, handle: getSnapshot },
  { method: "POST", path: ONE, handle: renameInstanceSnapshot },
  { method: "PUT", path: ONE, handle: changeExpiry },
  { method: "PATCH", path: ONE, handle: changeExpiry },
  { method: "DELETE", path: ONE, handle: deleteSnapshot },
];

export const NewSnapshot = z.object({ name: z.string().default(""), expires_at: z.string().nullish() });
export const NewName = z.object({ name: z.string().default("") });
export const NewExpiry = z.object({ expires_at: z.string().nullish(), description: z.string().optional() });

function listSnapshots(context: Context): Reply {
  const instance = instanceOf(context);
  const { state } = context.host;
  const url = (snapshot: SnapshotRecord) => snapshotUrl(instance, snapshot.name);
  return sync(
    listed(context, instance.snapshots, url, (snapshot) =>
      instanceSnapshotJson(state, instance, snapshot, snapshotSize(state, instance, snapshot)),
    ),
  );
}

function getSnapshot(context: Context): Reply {
  const instance = instanceOf(context);
  const snapshot = snapshotOf(context, instance);
  const { state } = context.host;
  const json = instanceSnapshotJson(state, instance, snapshot, snapshotSize(state, instance, snapshot));
  return sync(json, snapshot.expiresAt);
}

function createSnapshot(context: Context): Reply {
  const { host } = context;
  const instance = instanceOf(context);
  const asked = context.json(NewSnapshot);
  const name = asked.name === "" ? nextName(instance.snapshots) : asked.name;
  refuseBadName(name, host.generation.strictSnapshotNames);
  const createdAt = host.now();
  return startWork(context, {
    description: "Snapshotting instance",
    project: instance.project,
    resources: instanceSnapshotResources(instance, name),
    work: () => {
      if (/\s/.test(name)) throw new Refusal(500, "Invalid instance name: Cannot contain white space");
      refuseDuplicate(instance, name, host.generation.newWords);
      const driver = host.state.pools.get(instance.pool)?.driver;
      takeSnapshot(instance, {
        name,
        createdAt,
        expiresAt: expiryOf(asked.expires_at, instance.config, createdAt),
        driver,
      });
      host.events.lifecycle(instance.project, "instance-snapshot-created", snapshotUrl(instance, name));
    },
  });
}

function refuseBadName(name: string, strict: boolean): void {
  if (!strict && name.includes("/")) throw new Refusal(400, 'Invalid snapshot name: Cannot contain "/"');
  if (!strict) return;
  if (/\s/.test(name)) throw new Refusal(400, "Invalid snapshot name: Name cannot contain white space");
  if (name.includes("/")) throw new Refusal(400, 'Invalid snapshot name: Name contains invalid character "/"');
  if (!/^[A-Za-z0-9]([\x21-\x7e]*[A-Za-z0-9])?$/.test(name)) {
    throw new Refusal(400, "Invalid snapshot name: Name must start and end with an alphanumeric character");
  }
}

/** The database notices a second snapshot of one name only when the operation writes it. */
function refuseDuplicate(instance: InstanceRecord, name: string, newWords: boolean): void {
  if (!instance.snapshots.some((snapshot) => snapshot.name === name)) return;
  const failed = `Failed creating instance snapshot record "${name}": Add snapshot info to the database:`;
  const unique = "UNIQUE constraint failed: instances_snapshots.instance_id, instances_snapshots.name";
  throw new Refusal(500, `${failed} ${newWords ? 'This "Instance_snapshot" entry already exists' : unique}`);
}

function renameInstanceSnapshot(context: Context): Reply {
  const instance = instanceOf(context);
  const snapshot = snapshotOf(context, instance);
  const { name } = context.json(NewName);
  if (instance.snapshots.some((other) => other.name === name)) {
    throw new Refusal(409, `Name '${instance.name}/${name}' already in use`);
  }
  return startWork(context, {
    description: "Renaming snapshot",
    project: instance.project,
    resources: instanceSnapshotResources(instance, snapshot.name),
    work: () => renameSnapshot(instance, snapshot, name),
  });
}

function changeExpiry(context: Context): Reply {
  const instance = instanceOf(context);
  const snapshot = snapshotOf(context, instance);
  const { expires_at } = context.json(NewExpiry);
  return startWork(context, {
    description: "Updating snapshot",
    project: instance.project,
    resources: instanceSnapshotResources(instance, snapshot.name),
    work: () => {
      snapshot.expiresAt = expires_at ?? snapshot.expiresAt;
    },
  });
}

function deleteSnapshot(context: Context): Reply {
  const { host } = context;
  const instance = instanceOf(context);
  const { name } = snapshotOf(context, instance);
  return startWork(context, {
    description: "Deleting snapshot",
    project: instance.project,
    resources: instanceSnapshotResources(instance, name),
    work: () => {
      dropSnapshot(instance, name);
      host.events.lifecycle(instance.project, "instance-snapshot-deleted", snapshotUrl(instance, name));
    },
  });
}

function snapshotOf(context: Context, instance: InstanceRecord): SnapshotRecord {
  const name = param(context, "snapshot");
  const found = instance.snapshots.find((snapshot) => snapshot.name === name);
  if (found !== undefined) return found;
  const { name: of, project } = instance;
  throw new Refusal(
    404,
    `Failed to fetch snapshot "${name}" of instance "${of}" in project "${project}": Instance_snapshot not found`,
  );
}

/** What a server calls a snapshot that nobody named. */
export function nextName(snapshots: readonly SnapshotRecord[]): string {
  const numbers = snapshots.map(({ name }) => Number(/^snap(\d+)$/.exec(name)?.[1] ?? -1));
  return `snap${Math.max(-1, ...numbers) + 1}`;
}

function snapshotUrl(instance: InstanceRecord, name: string): string {
  return instanceUrl(instance).replace(/(\?|$)/, `/snapshots/${name}$1`);
}

function instanceSnapshotResources(instance: InstanceRecord, name: string): Record<string, string[]> {
  return { instances: [instanceUrl(instance)], instances_snapshots: [snapshotUrl(instance, name)] };
}
