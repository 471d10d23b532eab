import { z } from "zod";
import type { Snapshot } from "../model/snapshot.ts";
import type { Instance, InstanceStatus } from "../model/state.ts";
import { compareMoments, epochMs, epochMsOrNever, Moment } from "./moments.ts";

/** A server writes an empty map, and an empty list, as null. */
export const Strings = z
  .record(z.string(), z.string())
  .nullish()
  .transform((map) => map ?? {});
export const DeviceMap = z
  .record(z.string(), z.record(z.string(), z.string()))
  .nullish()
  .transform((map) => map ?? {});

export const SnapshotSchema = z.object({
  name: z.string(),
  created_at: Moment,
  expires_at: Moment.nullish(),
  size: z.number().nullish(),
});
export type WireSnapshot = z.infer<typeof SnapshotSchema>;

export const InstanceSchema = z.object({
  name: z.string(),
  project: z.string().default("default"),
  type: z.enum(["container", "virtual-machine"]),
  status: z.string(),
  architecture: z.string().default(""),
  description: z.string().default(""),
  ephemeral: z.boolean().default(false),
  profiles: z
    .array(z.string())
    .nullish()
    .transform((list) => list ?? []),
  config: Strings,
  devices: DeviceMap,
  expanded_config: Strings,
  expanded_devices: DeviceMap,
  location: z.string().default(""),
  created_at: Moment,
  snapshots: z.array(SnapshotSchema).nullish(),
});

/** An instance, as the server lists it with its snapshots. */
export function instanceOf(wire: z.infer<typeof InstanceSchema>): Instance {
  return {
    kind: "instance",
    project: wire.project,
    name: wire.name,
    type: wire.type,
    status: STATUSES[wire.status] ?? "Other",
    architecture: wire.architecture,
    description: wire.description,
    ephemeral: wire.ephemeral,
    profiles: wire.profiles,
    config: wire.config,
    devices: wire.devices,
    expandedConfig: wire.expanded_config,
    expandedDevices: wire.expanded_devices,
    location: memberOf(wire.location),
    createdAt: epochMs(wire.created_at),
    snapshots: snapshotsOf(wire.snapshots ?? []),
  };
}

/** Oldest first, by bare names: some lists put the unit's name in front. */
export function snapshotsOf(wire: readonly WireSnapshot[]): readonly Snapshot[] {
  return [...wire]
    .sort((a, b) => compareMoments(a.created_at, b.created_at) || (a.name < b.name ? -1 : 1))
    .map((snapshot) => ({
      name: snapshot.name.slice(snapshot.name.lastIndexOf("/") + 1),
      createdAt: epochMs(snapshot.created_at),
      createdAtExact: snapshot.created_at,
      expiresAt: epochMsOrNever(snapshot.expires_at),
      // -1 where the driver does not know it, or the list does not look.
      sizeBytes: snapshot.size == null || snapshot.size < 0 ? undefined : snapshot.size,
    }));
}

/** The cluster member that holds something; a server of its own says "none". */
export function memberOf(location: string): string {
  return location === "none" ? "" : location;
}

/** An instance that has told that it is ready is running too. */
const STATUSES: Readonly<Record<string, InstanceStatus>> = {
  Running: "Running",
  Ready: "Running",
  Stopped: "Stopped",
  Frozen: "Frozen",
  Error: "Error",
};
