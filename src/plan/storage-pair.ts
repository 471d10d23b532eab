import type { Device, Devices } from "../model/state.ts";
import type { StateIndex } from "./index-state.ts";
import type { Pair } from "./pair-up.ts";

/** Between which storage drivers a workload travels, and what that means for a refresh. */
export type StoragePair = {
  readonly source: string | undefined;
  readonly target: string | undefined;
  /** The target may lack a snapshot that the source has, without harm. */
  readonly gapSafe: boolean;
  /** Files are compared, so that a refresh needs no common snapshot. */
  readonly rsync: boolean;
  /** ZFS on both sides: it compares by GUID, which kept history must know. */
  readonly zfs: boolean;
};

/** What is known of the storage on both sides, with the pool that the replica has or will have. */
export function storagePair(pair: Pair, targetPool: string, index: StateIndex): StoragePair {
  const source = index.source.drivers.get(sourcePoolOf(pair) ?? "");
  const target = index.target.drivers.get(targetPool);
  const known = source !== undefined && target !== undefined;
  const rsync = known && (source !== target || source === "dir");
  const zfs = source === "zfs" && target === "zfs";
  const both = (can: "excludeOlder" | "zfsNewestCommon") => index.source.facts.can[can] && index.target.facts.can[can];
  return { source, target, rsync, zfs, gapSafe: both("excludeOlder") && (rsync || (zfs && both("zfsNewestCommon"))) };
}

/** The pool on the source: of the root disk, or of the volume. */
export function sourcePoolOf({ kind, source }: Pair): string | undefined {
  return kind === "instance" ? rootDisk(source.expandedDevices)?.device["pool"] : source.pool;
}

/** The pool on the target: where the replica is, or where a new one is wanted. */
export function targetPoolOf({ kind, job, source, replica }: Pair): string | undefined {
  if (kind === "volume") return job.target.pool;
  const existing = replica && rootDisk(replica.expandedDevices)?.device["pool"];
  return existing ?? job.rootPool ?? rootDisk(source.expandedDevices)?.device["pool"];
}

export type NamedDevice = { readonly name: string; readonly device: Device };

/** The disk that holds an instance's root file system. */
export function rootDisk(devices: Devices): NamedDevice | undefined {
  const [name, device] = Object.entries(devices).find(([, each]) => isRootDisk(each)) ?? [];
  return name === undefined || device === undefined ? undefined : { name, device };
}

export function isRootDisk(device: Device): boolean {
  return device["type"] === "disk" && device["path"] === "/";
}
