import type { DroppedDevice } from "../model/plan.ts";
import type { Device, Devices, Instance } from "../model/state.ts";
import { type Unit, unitId, type VolumeUnit } from "../model/unit.ts";
import { networkOf, type StateIndex, servingProject } from "./index-state.ts";
import { profileFor } from "./missing-profiles.ts";
import { SCHEDULE } from "./new-replica.ts";
import { isRootDisk } from "./storage-pair.ts";

/** What devices are filtered by. */
export type DeviceContext = {
  readonly index: StateIndex;
  readonly target: Unit;
  /** The pool on the target for the root disk. */
  readonly rootPool: string;
  /** In a cluster: the member that the replica is made on, where that is known. */
  readonly member: string | undefined;
  readonly excludeDevices: readonly string[];
  /** Where each volume of the source is replicated to in this run, by the id of its source. */
  readonly volumeTargets: ReadonlyMap<string, VolumeUnit>;
};

export type FilteredDevices = {
  /** The devices of the replica itself, those masked that its profiles would bring. */
  readonly devices: Devices;
  readonly profiles: readonly string[];
  /** One of them brings a schedule for snapshots. */
  readonly scheduled: boolean;
  readonly dropped: readonly DroppedDevice[];
  readonly missingProfiles: readonly string[];
};

type Judged = { readonly device: Device } | { readonly why: string };

const NO_DEVICE: Device = { type: "none" };

/**
 * The devices a new replica is made with. The target checks each when the replica is made, so what it cannot have is
 * left out: a replica without a network card is a backup, one that could not be made is none.
 */
export function filterDevices(source: Instance, context: DeviceContext): FilteredDevices {
  const { index, target } = context;
  const profiles = source.profiles.flatMap((name) => profileFor(index.target, target.project, name) ?? []);
  const known = profiles.map(({ name }) => name);
  // The later ones go before the earlier.
  const inherited: Devices = Object.assign({}, ...profiles.map(({ devices }) => devices));
  const devices: Record<string, Device> = {};
  const dropped: DroppedDevice[] = [];
  for (const [name, device] of Object.entries(source.expandedDevices)) {
    const judged = judge(name, device, { source, inherited, context });
    if ("why" in judged) dropped.push({ name, device, why: judged.why });
    else if (judged.device !== inherited[name]) devices[name] = judged.device;
  }
  for (const [name, device] of Object.entries(inherited)) {
    if (devices[name] === undefined && !isWanted(name, device, source, context)) devices[name] = NO_DEVICE;
  }
  return {
    devices,
    profiles: known,
    scheduled: profiles.some(({ config }) => config[SCHEDULE] !== undefined),
    dropped,
    missingProfiles: source.profiles.filter((name) => !known.includes(name)),
  };
}

type Origin = { readonly source: Instance; readonly inherited: Devices; readonly context: DeviceContext };

function judge(name: string, device: Device, { source, inherited, context }: Origin): Judged {
  if (isRootDisk(device)) return { device: { ...device, pool: context.rootPool } };
  if (context.excludeDevices.includes(name)) return { why: "the configuration excludes it" };
  if (source.devices[name] !== undefined) return judgeOwn(device, source, context);
  const there = inherited[name];
  if (there === undefined) return { why: "it comes from a profile, and the target's profiles have none of that name" };
  const why = missingOnTarget(there, context);
  return why === undefined ? { device: there } : { why };
}

/** Whether what a target's profile brings may reach the replica: not a second root disk, and nothing left out on purpose. */
function isWanted(name: string, device: Device, source: Instance, context: DeviceContext): boolean {
  if (isRootDisk(device) || context.excludeDevices.includes(name)) return false;
  // What the instance itself was given goes before its profiles; where that was dropped, theirs is not put in its place.
  if (source.devices[name] !== undefined) return false;
  return missingOnTarget(device, context) === undefined;
}

function judgeOwn(device: Device, source: Instance, context: DeviceContext): Judged {
  switch (device["type"]) {
    case "none":
    case "tpm":
      return { device };
    case "nic":
      return judgeNic(device, context);
    case "disk":
      return judgeDisk(device, source, context);
    default:
      return { why: `a ${device["type"] ?? "nameless"} device belongs to the host it is on` };
  }
}

function judgeNic(device: Device, context: DeviceContext): Judged {
  const why = missingOnTarget(device, context);
  if (why !== undefined) return { why };
  if (device["security.acls"]) return { why: "its network ACLs may not exist on the target" };
  return { device };
}

function judgeDisk(device: Device, source: Instance, context: DeviceContext): Judged {
  const from = device["source"] ?? "";
  if (from.startsWith("/")) return { why: `whether the target's host has ${from} cannot be known` };
  if (from === "agent:config" || from === "cloud-init:config") return { device };
  if (device["pool"] === undefined) return { why: `its source ${from || "(none)"} is outside of Incus's storage` };
  return judgeVolumeDisk(device, source, context);
}

/** A disk that is a custom volume follows the volume's replica to its pool and name. */
function judgeVolumeDisk(device: Device, source: Instance, context: DeviceContext): Judged {
  const { index, target, volumeTargets } = context;
  const { pool = "", source: from = "" } = device;
  const [name = "", ...within] = from.split("/");
  const project = servingProject(index.source, source.project, "ownVolumes");
  const replica = volumeTargets.get(unitId({ kind: "volume", project, pool, name }));
  const seen = servingProject(index.target, target.project, "ownVolumes");
  if (replica !== undefined && replica.project !== seen)
    return {
      why: `its volume is replicated to project ${replica.project}, which instances of ${target.project} do not see`,
    };
  const there =
    replica === undefined ? device : { ...device, pool: replica.pool, source: [replica.name, ...within].join("/") };
  const why = replica === undefined ? missingOnTarget(device, context) : onAnotherMember(replica, context);
  return why === undefined ? { device: there } : { why };
}

/** In a cluster an instance reaches the volumes of its own member only. */
function onAnotherMember(volume: VolumeUnit, { index: { target }, member }: DeviceContext): string | undefined {
  const holder = target.volumes.get(unitId(volume))?.location ?? "";
  if (member === undefined || holder === "" || holder === member) return undefined;
  if (target.holders.get(unitId(volume))?.includes(member)) return undefined;
  return `its volume is on member ${holder}, the replica on ${member}`;
}

/** What the target lacks of that which a device names. */
function missingOnTarget(device: Device, context: DeviceContext): string | undefined {
  const { index, target, volumeTargets } = context;
  const { type, network, pool } = device;
  if (type === "nic" && network !== undefined)
    return networkOf(index.target, target.project, network) === undefined
      ? `the target has no network ${network}`
      : undefined;
  if (type !== "disk" || pool === undefined || isRootDisk(device)) return undefined;
  const [name = ""] = (device["source"] ?? "").split("/");
  const project = servingProject(index.target, target.project, "ownVolumes");
  const unit: VolumeUnit = { kind: "volume", project, pool, name };
  const there =
    index.target.volumes.has(unitId(unit)) || [...volumeTargets.values()].some((each) => unitId(each) === unitId(unit));
  return there ? onAnotherMember(unit, context) : `the target has no volume ${pool}/${name}`;
}
