import type { Snapshot } from "./snapshot.ts";
import type { EpochMs } from "./time.ts";
import type { InstanceUnit, Unit, VolumeUnit } from "./unit.ts";

/** What a server can do, by its extensions and, where it has none for it, by its version. */
export type Capabilities = {
  /** Understands `refresh_exclude_older`: without it a refresh sends old snapshots again. */
  readonly excludeOlder: boolean;
  /** Lists custom volumes with their snapshots in one request. */
  readonly fullVolumes: boolean;
  /** Every migration operation can be cancelled, the sink's and a volume's too. */
  readonly cancelMigration: boolean;
  /** The pool list answers to restricted certificates. */
  readonly listPoolsRestricted: boolean;
  /** ZFS looks for the newest common snapshot, so a gap on the target does no harm. */
  readonly zfsNewestCommon: boolean;
  /** A backup is streamed as it is made, without a file on the server. */
  readonly directBackup: boolean;
  /** A PATCH of an instance leaves its description alone. */
  readonly patchKeepsDescription: boolean;
  /** As the target of a volume it tells the source of its success, however long the data took. */
  readonly tellLateSuccess: boolean;
  /** A refresh gets rid by itself of a snapshot's volume that a copy has left which was cut off at its very end. */
  readonly repairsHalves: boolean;
};

/** Who a server is, as far as the agent needs to know. */
export type ServerFacts = {
  /** The name the configuration gives it. */
  readonly host: string;
  /** The name it gives itself. */
  readonly serverName: string;
  readonly version: string;
  /** The version of each storage driver's tools, by the driver's name. */
  readonly driverVersions: Readonly<Record<string, string>>;
  /** Base addresses (`https://host:port`) under which other servers may reach it, best first. */
  readonly addresses: readonly string[];
  readonly certificate: string;
  readonly fingerprint: string;
  readonly clustered: boolean;
  /** The agent's certificate is confined to some projects. */
  readonly restricted: boolean;
  readonly instanceTypes: readonly InstanceType[];
  readonly can: Capabilities;
};

export type InstanceType = "container" | "virtual-machine";
export type ContentType = "filesystem" | "block" | "iso";
export type InstanceStatus = "Running" | "Stopped" | "Frozen" | "Error" | "Other";

/** A device's keys, among them `type`. */
export type Device = Readonly<Record<string, string>>;
export type Devices = Readonly<Record<string, Device>>;
export type Config = Readonly<Record<string, string>>;

export type Instance = InstanceUnit & {
  readonly type: InstanceType;
  readonly status: InstanceStatus;
  readonly architecture: string;
  readonly description: string;
  readonly ephemeral: boolean;
  readonly profiles: readonly string[];
  readonly config: Config;
  readonly devices: Devices;
  /** With what the profiles add. */
  readonly expandedConfig: Config;
  readonly expandedDevices: Devices;
  /** The cluster member that holds it; empty on a server of its own. */
  readonly location: string;
  readonly createdAt: EpochMs;
  /** Oldest first. */
  readonly snapshots: readonly Snapshot[];
  /** What its root volume's own configuration says; looked up only where a refresh by hand may have taken our marks. */
  readonly rootConfig?: Config;
  /**
   * Snapshots of its root volume that the instance itself does not know; looked up only where a run may have been cut off
   * at the very end of a copy.
   */
  readonly halfSnapshots?: readonly string[];
};

export type Volume = VolumeUnit & {
  readonly contentType: ContentType;
  readonly config: Config;
  readonly description: string;
  /** The instances that use it, those of profiles left out. */
  readonly usedBy: readonly InstanceUnit[];
  readonly location: string;
  readonly createdAt: EpochMs;
  /** Oldest first. */
  readonly snapshots: readonly Snapshot[];
};

/** Something on a server that is, or may become, a unit's copy. */
export type Workload = Instance | Volume;

export type Pool = {
  readonly name: string;
  readonly driver: string;
  /** Of ZFS: the dataset that it lies in, where the server tells. */
  readonly dataset?: string;
};
/** The room of a pool. */
export type Space = { readonly usedBytes: number; readonly totalBytes: number };
export type Network = { readonly project: string; readonly name: string };
export type Profile = {
  readonly project: string;
  readonly name: string;
  readonly config: Config;
  readonly devices: Devices;
};
/** What a profile is made with that brings nothing. */
export type EmptyProfile = Omit<Profile, "devices"> & { readonly description: string };
export type Project = {
  readonly name: string;
  /** Whether it has volumes, profiles and networks of its own; else those of `default` serve. */
  readonly ownVolumes: boolean;
  readonly ownProfiles: boolean;
  readonly ownNetworks: boolean;
};

/** A member of a cluster. */
export type Member = {
  readonly name: string;
  /** As the server calls it: `Online`, `Offline`, `Evacuated` and others. */
  readonly status: string;
  readonly groups: readonly string[];
};

/** All that one look at a server finds. */
export type ServerState = {
  readonly facts: ServerFacts;
  /** Of a cluster; none on a server of its own. */
  readonly members: readonly Member[];
  readonly projects: readonly Project[];
  readonly pools: readonly Pool[];
  /** Managed networks only. */
  readonly networks: readonly Network[];
  readonly profiles: readonly Profile[];
  readonly instances: readonly Instance[];
  readonly volumes: readonly Volume[];
  /** What it was still at work on: all that is said of these may not last. */
  readonly busy?: readonly Unit[];
};

/** What plans are made of: both servers as they are at one moment. */
export type State = { readonly source: ServerState; readonly target: ServerState };
