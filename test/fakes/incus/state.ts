import type { Unit } from "../../../src/model/unit.ts";
import { unitId } from "../../../src/model/unit.ts";
import type { Nanos } from "./nanos.ts";

export type Driver = "btrfs" | "dir" | "zfs";
export type Keys = Record<string, string>;
export type DeviceKeys = Record<string, Keys>;

/** What the database lists. Its data is the dataset of the same name, if the driver has not lost it. */
export type SnapshotRecord = {
  name: string;
  readonly createdAt: Nanos;
  /** As Incus writes it; the zero date is never. */
  expiresAt: string;
  readonly description: string;
  readonly config: Keys;
  readonly devices: DeviceKeys;
};

/** What lies on the disk: a snapshot's content, with the identity that the driver goes by. */
export type Dataset = {
  name: string;
  /** ZFS: the GUID, which travels with the data. Btrfs: the subvolume's own UUID. */
  readonly guid: string;
  /** Btrfs: the UUID of the subvolume it was received from. */
  readonly receivedGuid: string;
  readonly content: Buffer;
};

/** A unit as a file, kept on the server until it is deleted. */
export type BackupRecord = {
  readonly name: string;
  readonly createdAt: Nanos;
  readonly snapshotless: boolean;
  readonly file: Buffer;
};

type CommonRecord = {
  readonly project: string;
  name: string;
  description: string;
  config: Keys;
  readonly createdAt: Nanos;
  /** The cluster member that holds it, or `none`. */
  readonly location: string;
  /** Oldest first, as they were made. */
  snapshots: SnapshotRecord[];
  datasets: Dataset[];
  backups: BackupRecord[];
  /** The live head. */
  content: Buffer;
};

export type InstanceRecord = CommonRecord & {
  readonly kind: "instance";
  readonly type: "container" | "virtual-machine";
  readonly architecture: string;
  devices: DeviceKeys;
  profiles: string[];
  ephemeral: boolean;
  status: "Running" | "Stopped" | "Frozen" | "Error";
  /** When it was last started; never is 0. */
  lastUsedAt: Nanos;
  /** That of its root volume. */
  rootConfig: Keys;
  /** Names of snapshots that the root volume has kept and the instance has not. */
  readonly halves: Set<string>;
  /** Where the data is, which a careless refresh can make the root device disagree with. */
  readonly pool: string;
  /** It does not react to being asked to stop. */
  readonly ignoresStop: boolean;
  /** The operation that holds the instance's lock, as errors name it. */
  busyWith: string | undefined;
};

export type VolumeRecord = CommonRecord & {
  readonly kind: "volume";
  readonly pool: string;
  readonly contentType: "filesystem" | "block" | "iso";
};

export type UnitRecord = InstanceRecord | VolumeRecord;

export type ProjectRecord = { readonly name: string; readonly description: string; readonly config: Keys };
export type ProfileRecord = {
  readonly project: string;
  readonly name: string;
  readonly description: string;
  config: Keys;
  devices: DeviceKeys;
};
export type NetworkRecord = {
  readonly project: string;
  readonly name: string;
  readonly type: string;
  readonly managed: boolean;
};
export type PoolRecord = { readonly name: string; readonly driver: Driver; totalBytes: number };
export type TrustRecord = {
  readonly fingerprint: string;
  readonly name: string;
  readonly certificate: string;
  readonly restricted: boolean;
  readonly projects: readonly string[];
};

/** Everything a server keeps over a restart. */
export type State = {
  readonly projects: Map<string, ProjectRecord>;
  readonly pools: Map<string, PoolRecord>;
  readonly networks: NetworkRecord[];
  readonly profiles: ProfileRecord[];
  /** By unitId. */
  readonly units: Map<string, UnitRecord>;
  /** By fingerprint. */
  readonly certificates: Map<string, TrustRecord>;
};

export function emptyState(): State {
  return {
    projects: new Map(),
    pools: new Map(),
    networks: [],
    profiles: [],
    units: new Map(),
    certificates: new Map(),
  };
}

/** A record's unit. */
function unitOf(record: UnitRecord): Unit {
  const { project, name } = record;
  return record.kind === "instance"
    ? { kind: "instance", project, name }
    : { kind: "volume", project, pool: record.pool, name };
}

export function addRecord(state: State, record: UnitRecord): void {
  state.units.set(unitId(unitOf(record)), record);
}

export function removeRecord(state: State, record: UnitRecord): void {
  state.units.delete(unitId(unitOf(record)));
}

export function instancesOf(state: State): InstanceRecord[] {
  return [...state.units.values()].filter((record) => record.kind === "instance");
}

export function volumesOf(state: State): VolumeRecord[] {
  return [...state.units.values()].filter((record) => record.kind === "volume");
}

/** Config or devices as they are once the profiles have had their say. */
export function expandedConfig(state: State, instance: Pick<InstanceRecord, "project" | "profiles" | "config">): Keys {
  return Object.assign({}, ...profilesOf(state, instance).map((profile) => profile.config), instance.config);
}

export function expandedDevices(
  state: State,
  instance: Pick<InstanceRecord, "project" | "profiles" | "devices">,
): DeviceKeys {
  return Object.assign({}, ...profilesOf(state, instance).map((profile) => profile.devices), instance.devices);
}

function profilesOf(state: State, instance: Pick<InstanceRecord, "project" | "profiles">): ProfileRecord[] {
  const project = projectWith(state, "features.profiles", instance.project);
  return instance.profiles.flatMap((name) =>
    state.profiles.filter((profile) => profile.project === project && profile.name === name),
  );
}

/** The project where something of the given feature lives: the project itself, or `default`. */
export function projectWith(state: State, feature: string, project: string): string {
  return state.projects.get(project)?.config[feature] === "true" ? project : "default";
}

/** The first disk that is mounted at the root, with its name. */
export function rootDevice(devices: DeviceKeys): { name: string; pool: string | undefined } | undefined {
  const found = Object.entries(devices).find(([, device]) => device["type"] === "disk" && device["path"] === "/");
  return found === undefined ? undefined : { name: found[0], pool: found[1]["pool"] };
}
