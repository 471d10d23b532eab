import { randomUUID } from "node:crypto";
import type { Host } from "./host.ts";
import { type Nanos, parseNanos, ZERO_DATE } from "./nanos.ts";
import { newGuid } from "./snapshot-store.ts";
import type { DeviceKeys, InstanceRecord, Keys, UnitRecord, VolumeRecord } from "./state.ts";
import { addRecord } from "./state.ts";

export type SnapshotSeed = {
  readonly name: string;
  /** RFC 3339, down to nanoseconds; without it one second apart, the newest about as old. */
  readonly createdAt?: string;
  readonly expiresAt?: string;
  readonly content?: string | Uint8Array;
};

type UnitSeed = {
  readonly name: string;
  readonly project?: string;
  readonly description?: string;
  readonly config?: Keys;
  readonly createdAt?: string;
  /** The cluster member that holds it; the first without. */
  readonly location?: string;
  /** The live head's. */
  readonly content?: string | Uint8Array;
  /** Oldest first. */
  readonly snapshots?: readonly (string | SnapshotSeed)[];
};

export type InstanceSeed = UnitSeed & {
  readonly type?: InstanceRecord["type"];
  readonly status?: InstanceRecord["status"];
  /** On top of a root disk in the pool. */
  readonly devices?: DeviceKeys;
  readonly pool?: string;
  /** The root disk is left to the profiles. */
  readonly rootFromProfile?: boolean;
  readonly profiles?: readonly string[];
  readonly ephemeral?: boolean;
  /** Being asked to stop is not enough. */
  readonly ignoresStop?: boolean;
  readonly architecture?: string;
};

export type VolumeSeed = UnitSeed & { readonly pool?: string; readonly contentType?: VolumeRecord["contentType"] };

/** Puts an instance into the state, as if it had always been there. */
export function addInstance(host: Host, seed: InstanceSeed, defaultPool: string): InstanceRecord {
  const pool = seed.pool ?? defaultPool;
  const root: DeviceKeys = seed.rootFromProfile === true ? {} : { root: { type: "disk", path: "/", pool } };
  const instance: InstanceRecord = {
    kind: "instance",
    ...common(host, seed),
    config: { "volatile.uuid": randomUUID(), ...seed.config },
    type: seed.type ?? "container",
    architecture: seed.architecture ?? "x86_64",
    rootConfig: {},
    halves: new Set(),
    devices: { ...root, ...seed.devices },
    profiles: [...(seed.profiles ?? ["default"])],
    ephemeral: seed.ephemeral ?? false,
    status: seed.status ?? "Stopped",
    pool,
    lastUsedAt: 0n,
    ignoresStop: seed.ignoresStop ?? false,
    busyWith: undefined,
  };
  return add(host, instance, seed);
}

/** Puts a custom volume into the state. */
export function addVolume(host: Host, seed: VolumeSeed, defaultPool: string): VolumeRecord {
  const pool = seed.pool ?? defaultPool;
  return add(
    host,
    { kind: "volume", ...common(host, seed), pool, contentType: seed.contentType ?? "filesystem" },
    seed,
  );
}

function common(host: Host, seed: UnitSeed): Omit<VolumeRecord, "kind" | "pool" | "contentType"> {
  return {
    project: seed.project ?? "default",
    name: seed.name,
    description: seed.description ?? "",
    location: seed.location ?? host.members[0] ?? "none",
    config: { ...seed.config },
    createdAt: seed.createdAt === undefined ? inThePast(host.now(), seed) : dateOf(seed.createdAt),
    snapshots: [],
    datasets: [],
    backups: [],
    content: bytesOf(seed.content ?? `${seed.name} at its head`),
  };
}

function add<T extends UnitRecord>(host: Host, unit: T, seed: UnitSeed): T {
  const driver = host.state.pools.get(unit.pool)?.driver;
  const devices = unit.kind === "instance" ? unit.devices : {};
  (seed.snapshots ?? []).forEach((entry, at) => {
    const snapshot = typeof entry === "string" ? { name: entry } : entry;
    const { name, expiresAt = ZERO_DATE, content = `${seed.name} at ${name}` } = snapshot;
    const createdAt = snapshot.createdAt === undefined ? later(unit.createdAt, at) : dateOf(snapshot.createdAt);
    unit.snapshots.push({ name, createdAt, expiresAt, description: "", config: unit.config, devices });
    unit.datasets.push({ name, guid: newGuid(driver), receivedGuid: "", content: bytesOf(content) });
  });
  addRecord(host.state, unit);
  return unit;
}

/** Early enough for all its snapshots to be older than now, and than anything that is taken from now on. */
function inThePast(now: Nanos, { snapshots = [] }: UnitSeed): Nanos {
  return later(now, -snapshots.length - 3);
}

function later(at: Nanos, seconds: number): Nanos {
  return at + BigInt(seconds + 1) * 1_000_000_000n;
}

function dateOf(text: string): Nanos {
  const at = parseNanos(text);
  if (at === undefined) throw new Error(`Not a date: ${text}`);
  return at;
}

export function bytesOf(content: string | Uint8Array): Buffer {
  return Buffer.from(content);
}
