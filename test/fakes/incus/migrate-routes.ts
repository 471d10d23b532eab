import { z } from "zod";
import { Connections, Peer } from "./connections.ts";
import type { Context } from "./host.ts";
import { type NewInstance, newInstance, refuseBadDevices, refuseDuplicate } from "./instance-create.ts";
import { instanceUrl } from "./instance-routes.ts";
import { runSink } from "./migrate-sink.ts";
import { runSource } from "./migrate-source.ts";
import { Refusal, type Reply, textOf } from "./reply.ts";
import type { InstanceRecord, UnitRecord, VolumeRecord } from "./state.ts";
import { addRecord, expandedDevices, removeRecord, rootDevice } from "./state.ts";
import type { NewVolume } from "./volume-create.ts";
import { newVolume } from "./volume-create.ts";
import { volumeUrl } from "./volume-routes.ts";
import { startWork } from "./work.ts";

const SourceRequest = z.object({
  live: z.boolean().default(false),
  instance_only: z.boolean().default(false),
  volume_only: z.boolean().default(false),
  target: Peer.nullish(),
});

const SinkSource = Peer.extend({
  mode: z.string().default(""),
  refresh: z.boolean().default(false),
  refresh_exclude_older: z.boolean().default(false),
  instance_only: z.boolean().default(false),
  volume_only: z.boolean().default(false),
});
type SinkSource = z.infer<typeof SinkSource>;

/** `POST /1.0/instances/:name` with `migration`: the source of a copy. */
export function sendInstance(context: Context, instance: InstanceRecord): Reply {
  const asked = context.json(SourceRequest);
  if (asked.live) {
    throw new Refusal(
      500,
      "Unable to perform live container migration. CRIU isn't installed on the source server. " +
        "To migrate the container, stop the container before migration or install CRIU on the source server",
    );
  }
  return send(context, instance, {
    description: "Migrating instance",
    resources: { instances: [instanceUrl(instance)] },
    canCancel: true,
    guard: async (work) => {
      if (instance.busyWith !== undefined) {
        throw new Refusal(
          500,
          `Failed migration on source: Instance is busy running a "${instance.busyWith}" operation`,
        );
      }
      instance.busyWith = "migrate";
      try {
        await work();
      } catch (error) {
        throw new Refusal(500, `Failed migration on source: ${textOf(error)}`);
      } finally {
        instance.busyWith = undefined;
      }
    },
  });
}

/** The same for a custom volume. */
export function sendVolume(context: Context, volume: VolumeRecord): Reply {
  return send(context, volume, {
    description: "Migrating storage volume",
    resources: { storage_volumes: [volumeUrl(volume)] },
    canCancel: context.host.generation.cancelsAllMigrations,
    guard: (work) => work(),
  });
}

type Sending = {
  readonly description: string;
  readonly resources: Record<string, string[]>;
  readonly canCancel: boolean;
  readonly guard: (work: () => Promise<void>) => Promise<void>;
};

function send(context: Context, unit: UnitRecord, sending: Sending): Reply {
  const { host, fault } = context;
  const { target, instance_only, volume_only } = context.json(SourceRequest);
  const connections = target ? Connections.dialled(target, "source") : Connections.awaited();
  const { description, resources, canCancel, guard } = sending;
  return startWork(context, {
    ...(target ? {} : { class: "websocket" as const, metadata: connections.secrets, connect: connections.connect }),
    description,
    project: unit.project,
    resources,
    ...(canCancel && !target ? { onCancel: () => connections.disconnect() } : {}),
    work: (operation) =>
      guard(() => runSource({ host, unit, connections, snapshotless: instance_only || volume_only, fault }, operation)),
  });
}

/** `POST /1.0/instances` with a source of type `migration`. */
export function receiveInstance(context: Context, asked: NewInstance): Reply {
  const { host, project, fault } = context;
  const source = SinkSource.parse(asked.source);
  refuseMode(source);
  const fresh = newInstance(context, asked);
  const existing = host.state.units.get(`${project}/${fresh.name}`);
  const refresh = source.refresh && existing?.kind === "instance";
  const instance = refresh && existing.kind === "instance" ? existing : fresh;
  if (refresh) refuseExclusive(instance);
  else {
    refuseDuplicate(host, instance);
    refuseBadDevices(context, instance.devices);
  }
  const connections = connectionsOf(source);
  if (!refresh) addRecord(host.state, instance);
  instance.busyWith = "create";
  return startWork(context, {
    ...sinkOperation(context, connections, source),
    description: "Creating instance",
    project,
    resources: { instances: [instanceUrl(instance)] },
    work: async () => {
      try {
        const { refresh_exclude_older: excludeOlder, instance_only: snapshotless } = source;
        await runSink({ host, unit: instance, connections, refresh, excludeOlder, snapshotless, fault });
        moveRootOnPaper(context, instance, rootDevice(expandedDevices(host.state, fresh))?.pool);
        host.events.lifecycle(project, "instance-created", instanceUrl(instance));
      } catch (error) {
        if (!refresh) removeRecord(host.state, instance);
        throw new Refusal(500, `Error transferring instance data: Failed migration on target: ${textOf(error)}`);
      } finally {
        instance.busyWith = undefined;
      }
    },
  });
}

function refuseExclusive(instance: InstanceRecord): void {
  const failed = "Failed getting exclusive access to instance:";
  if (instance.busyWith !== undefined) {
    throw new Refusal(500, `${failed} Instance is busy running a "${instance.busyWith}" operation`);
  }
  if (instance.status !== "Stopped") throw new Refusal(500, `${failed} Instance is running`);
}

/** A refresh writes the pool of the request into the root device, wherever the data is. */
function moveRootOnPaper({ host }: Context, instance: InstanceRecord, pool: string | undefined): void {
  const devices = expandedDevices(host.state, instance);
  const root = rootDevice(devices);
  if (root === undefined || pool === undefined) return;
  instance.devices = { ...instance.devices, [root.name]: { ...devices[root.name], pool } };
}

/** `POST …/volumes/custom` with a source of type `migration`. Nothing protects a volume that is in use. */
export function receiveVolume(context: Context, asked: NewVolume): Reply {
  const { host, fault } = context;
  const source = SinkSource.parse(asked.source);
  refuseMode(source);
  const fresh = newVolume(context, asked);
  const existing = host.state.units.get(`${fresh.project}/${fresh.pool}/${fresh.name}`);
  if (existing !== undefined && !source.refresh) throw new Refusal(409, "Volume by that name already exists");
  const volume = existing?.kind === "volume" ? existing : fresh;
  const refresh = volume === existing;
  const connections = connectionsOf(source);
  return startWork(context, {
    ...sinkOperation(context, connections, source),
    description: "Creating storage volume",
    project: volume.project,
    resources: { storage_volumes: [volumeUrl(volume)] },
    work: async () => {
      try {
        const { refresh_exclude_older: excludeOlder, volume_only: snapshotless } = source;
        await runSink({ host, unit: volume, connections, refresh, excludeOlder, snapshotless, fault });
        if (!refresh) addRecord(host.state, volume);
        // A refresh says so too, although nothing is created.
        host.events.lifecycle(volume.project, "storage-volume-created", volumeUrl(volume));
      } catch (error) {
        throw new Refusal(500, `Error transferring storage volume: ${textOf(error)}`);
      }
    },
  });
}

function refuseMode({ mode }: SinkSource): void {
  if (mode !== "pull" && mode !== "push") throw new Refusal(501, `Mode "${mode}" not implemented`);
}

function connectionsOf(source: SinkSource): Connections {
  return source.mode === "pull" ? Connections.dialled(source, "sink") : Connections.awaited();
}

/** In pull mode a task that cannot be cancelled; else one that waits for connections. */
function sinkOperation({ host }: Context, connections: Connections, { mode }: SinkSource) {
  if (mode === "pull") return {};
  const onCancel = host.generation.cancelsAllMigrations ? { onCancel: () => connections.disconnect() } : {};
  return { class: "websocket" as const, metadata: connections.secrets, connect: connections.connect, ...onCancel };
}
