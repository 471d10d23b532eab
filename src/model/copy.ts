import type { Mode } from "./job.ts";
import type { Config, ContentType, Devices, InstanceType } from "./state.ts";
import type { InstanceUnit, VolumeUnit } from "./unit.ts";

/** What a new replica of an instance is made with. A refresh uses the root disk of `devices` and no more. */
export type NewInstance = {
  readonly type: InstanceType;
  readonly architecture: string;
  readonly description: string;
  readonly config: Config;
  readonly devices: Devices;
  readonly profiles: readonly string[];
};

/** What a new replica of a volume is made with. */
export type NewVolume = {
  readonly contentType: ContentType;
  readonly description: string;
  readonly config: Config;
};

/** A snapshot that the target has, the source has no more, and the refresh must leave alone. */
export type KeptSnapshot = {
  readonly name: string;
  readonly createdAtExact: string;
  /** ZFS only: the GUIDs of its datasets; a refresh that does not know them would destroy it. */
  readonly guid: string | undefined;
};

type CommonCopy = {
  readonly mode: Mode;
  /** In a cluster: the member, or `@group`, for a new replica. */
  readonly member: string | undefined;
  /** Do not freeze a running source for the length of the transfer: only the live head may be torn. */
  readonly allowInconsistent: boolean;
  /** Kept history: needs relay mode. Empty for a plain mirror. */
  readonly keep: readonly KeptSnapshot[];
  /** The names the target must ask for and no others; undefined where any answer will do. */
  readonly sends: readonly string[] | undefined;
  /** Relay only. */
  readonly bytesPerSecond: number | undefined;
};

export type InstanceCopy = CommonCopy & {
  readonly kind: "instance";
  readonly source: InstanceUnit;
  readonly target: InstanceUnit;
  readonly create: NewInstance;
};

export type VolumeCopy = CommonCopy & {
  readonly kind: "volume";
  readonly source: VolumeUnit;
  readonly target: VolumeUnit;
  readonly create: NewVolume;
};

/** One transfer from source to target, always a refresh that leaves older snapshots out. */
export type Copy = InstanceCopy | VolumeCopy;

/** The volume of an instance's root disk, which has a configuration of its own. */
export type RootVolume = { readonly unit: InstanceUnit; readonly type: InstanceType; readonly pool: string };

/** The root volume that a copy of an instance writes to. */
export function rootVolumeOf({ target: unit, create }: InstanceCopy): RootVolume | undefined {
  const pool = Object.values(create.devices).find(({ type, path }) => type === "disk" && path === "/")?.["pool"];
  return pool === undefined ? undefined : { unit, type: create.type, pool };
}

/** How far a transfer is: what Incus says of it, or in relay mode what really passed through. */
export type Progress = {
  readonly bytes: number;
  /** About what it will come to, where a server tells. */
  readonly totalBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
  /** The snapshot or part that is on its way, where known. */
  readonly what: string | undefined;
};

/** What a finished transfer moved; `bytes` is undefined where the servers did not say. */
export type Copied = {
  readonly bytes: number | undefined;
  /** ZFS through the relay: the GUID of each snapshot that the source offered, by name. */
  readonly guids?: Readonly<Record<string, string>>;
  /** The source's operation that goes on for ever although the copy is done, and that nobody can end. */
  readonly lingering?: string;
};
