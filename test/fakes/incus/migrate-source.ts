import type { Channel } from "./channel.ts";
import type { Connections } from "./connections.ts";
import type { FaultKind } from "./faults.ts";
import type { Host } from "./host.ts";
import {
  controlError,
  decodeHeader,
  encodeControl,
  encodeHeader,
  FS,
  type HeaderSnapshot,
  type MigrationHeader,
} from "./migration-header.ts";
import { floorSeconds, parseNanos, rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import type { Operation } from "./operations.ts";
import { Refusal, textOf } from "./reply.ts";
import { sendData } from "./send.ts";
import type { Driver, SnapshotRecord, UnitRecord } from "./state.ts";

export type SourceJob = {
  readonly host: Host;
  readonly unit: UnitRecord;
  readonly connections: Connections;
  readonly snapshotless: boolean;
  readonly fault: FaultKind | undefined;
};

export const INDEX_HEADER_VERSION = 1;
/** What Go makes of a date that was never set. */
const NEVER_SECONDS = -62_135_596_800n;

/** The source's part of a migration, from waiting for the connections to the target's last word. */
export async function runSource(job: SourceJob, operation: Operation): Promise<void> {
  const { host, connections } = job;
  const { connectWithinMs } = host.timings;
  const control = await connections.channel("control", connectWithinMs, "source");
  const fs = await connections.channel("fs", connectWithinMs, "source");
  const stopWatching = watchForCut(job.fault, control, fs);
  try {
    const offer = offerOf(job);
    await control.send(encodeHeader(offer));
    const answer = await headerFrom(control);
    const sent = send(job, operation, fs, offer, answer);
    const ended = endFrom(control, job.unit);
    await Promise.all([sent, ended]);
  } catch (error) {
    await control.send(encodeControl(textOf(error))).catch(() => {});
    throw error;
  } finally {
    stopWatching();
    connections.disconnect();
  }
}

/** What the source has: all its snapshots, with their dates. */
function offerOf({ host, unit, snapshotless, fault }: SourceJob): MigrationHeader {
  const driver = host.state.pools.get(unit.pool)?.driver ?? "dir";
  const snapshots = snapshotless ? [] : unit.snapshots;
  return {
    fs: typeOf(driver, unit),
    snapshotNames: snapshots.map((snapshot) => snapshot.name),
    snapshots: snapshots.map((snapshot) => headerSnapshot(unit, snapshot)),
    refresh: undefined,
    zfsMigrationHeader: driver === "zfs",
    btrfsSubvolumeUuids: driver === "btrfs",
    indexHeaderVersion: fault?.kind === "header-version" ? fault.version : INDEX_HEADER_VERSION,
    volumeSize: unit.kind === "volume" && unit.contentType === "block" ? unit.content.length : 0,
  };
}

/** How a pool would like to send and to receive. */
export function typeOf(driver: Driver, unit: UnitRecord): number {
  if (driver === "zfs") return FS.zfs;
  if (driver === "btrfs") return FS.btrfs;
  const isBlock = unit.kind === "volume" ? unit.contentType !== "filesystem" : unit.type === "virtual-machine";
  return isBlock ? FS.blockAndRsync : FS.rsync;
}

function headerSnapshot(unit: UnitRecord, snapshot: SnapshotRecord): HeaderSnapshot {
  const { name, config, devices, createdAt, expiresAt } = snapshot;
  const isInstance = unit.kind === "instance";
  const expiry = expiresAt === ZERO_DATE ? undefined : parseNanos(expiresAt);
  return {
    name,
    localConfig: config,
    localDevices: isInstance ? devices : {},
    profiles: isInstance ? unit.profiles : [],
    creationDate: isInstance ? floorSeconds(createdAt) : createdAt,
    expiryDate: expiry === undefined ? NEVER_SECONDS : floorSeconds(expiry),
  };
}

/** The first message of the other side; an error if that is what it is. */
export async function headerFrom(control: Channel): Promise<MigrationHeader> {
  const bytes = await control.message();
  const failure = controlError(bytes);
  if (failure !== undefined) throw new Refusal(500, failure);
  return decodeHeader(bytes);
}

/** Of a volume the reason alone is told. */
async function endFrom(control: Channel, { kind }: UnitRecord): Promise<void> {
  const about = (what: string): string => (kind === "instance" ? `Error ${what} migration control target: ` : "");
  const bytes = await control.message().catch((error: unknown) => {
    throw new Refusal(500, `${about("reading")}${textOf(error)}`);
  });
  const failure = controlError(bytes);
  if (failure !== undefined) throw new Refusal(500, `${about("from")}${failure}`);
}

async function send(
  job: SourceJob,
  operation: Operation,
  fs: Channel,
  offer: MigrationHeader,
  answer: MigrationHeader,
): Promise<void> {
  const { unit, host, snapshotless } = job;
  const wanted = answer.refresh === true ? answer.snapshotNames : offer.snapshotNames;
  let refresh = answer.refresh === true;
  if (answer.indexHeaderVersion > 0) {
    await fs.sendPart(Buffer.from(JSON.stringify({ config: indexOf(unit, wanted) })));
    refresh = (JSON.parse((await fs.part()).toString("utf8")) as { Refresh?: boolean }).Refresh ?? refresh;
  }
  tellProgress(operation, unit);
  const frozen = unit.kind === "instance" && unit.status === "Running" && answer.fs === FS.rsync;
  if (frozen) unit.status = "Frozen";
  try {
    await sendData({ unit, fs, type: answer.fs, generation: host.generation, wanted, refresh, snapshotless });
  } finally {
    if (frozen) unit.status = "Running";
  }
}

/** The unit's configuration, which goes ahead of the data; of the snapshots those that were asked for. */
function indexOf(unit: UnitRecord, wanted: readonly string[]): object {
  const snapshots = unit.snapshots.filter((snapshot) => wanted.includes(snapshot.name));
  const { name, config, description, project } = unit;
  if (unit.kind === "instance") {
    const { devices, profiles, architecture, type } = unit;
    return { container: { name, config, description, project, devices, profiles, architecture, type } };
  }
  return {
    volume: { name, config, description, project, content_type: unit.contentType, type: "custom" },
    volume_snapshots: snapshots.map((snapshot) => ({
      name: snapshot.name,
      description: snapshot.description,
      config: snapshot.config,
      content_type: unit.contentType,
      created_at: rfc3339Nanos(snapshot.createdAt),
      expires_at: snapshot.expiresAt === ZERO_DATE ? null : snapshot.expiresAt,
    })),
  };
}

/** Free text, as the server's; short transfers have none. */
function tellProgress(operation: Operation, unit: UnitRecord): void {
  const { length } = unit.content;
  if (length < 1000) return;
  const label = unit.kind === "volume" ? `${unit.project}_${unit.name}` : unit.name;
  const amount = `${(length / 1000).toFixed(2)}kB`;
  operation.tell({ fs_progress: `${label}: ${amount} (${amount}/s)` });
}

/** Cuts a connection once it has carried what the fault lets through; returns how to stop that. */
export function watchForCut(fault: FaultKind | undefined, control: Channel, fs: Channel): () => void {
  if (fault?.kind !== "migration-cut") return () => {};
  const channel = fault.channel === "fs" ? fs : control;
  return channel.cutAfter(fault.afterBytes);
}
