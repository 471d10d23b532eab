import { setTimeout } from "node:timers/promises";
import type { Channel } from "./channel.ts";
import { compareSnapshots } from "./compare-snapshots.ts";
import type { Connections } from "./connections.ts";
import type { FaultKind } from "./faults.ts";
import type { Host } from "./host.ts";
import { headerFrom, INDEX_HEADER_VERSION, typeOf, watchForCut } from "./migrate-source.ts";
import { encodeControl, encodeHeader, FS, type HeaderSnapshot, type MigrationHeader } from "./migration-header.ts";
import { requireProfiles } from "./profile-routes.ts";
import { receiveData } from "./receive.ts";
import {
  halve,
  Index,
  recordFromHeader,
  recordFromIndex,
  refuseHalves,
  takeBack,
  writeDown,
} from "./received-records.ts";
import { Refusal, textOf } from "./reply.ts";
import { dropSnapshot } from "./snapshot-store.ts";
import type { SnapshotRecord, UnitRecord } from "./state.ts";
import { bytesOfSize } from "./volume-create.ts";

export type SinkJob = {
  readonly host: Host;
  readonly unit: UnitRecord;
  readonly connections: Connections;
  /** The unit is an old one. */
  readonly refresh: boolean;
  readonly excludeOlder: boolean;
  readonly snapshotless: boolean;
  readonly fault: FaultKind | undefined;
};

/** The target's part of a migration, from waiting for the connections to its word that all is well. */
export async function runSink(job: SinkJob): Promise<void> {
  const { host, connections } = job;
  const { connectWithinMs } = host.timings;
  const control = await connections.channel("control", connectWithinMs, "target");
  const fs = await connections.channel("fs", connectWithinMs, "target");
  const stopWatching = watchForCut(job.fault, control, fs);
  try {
    const offer = await headerFrom(control);
    const answer = answerTo(job, offer);
    await control.send(encodeHeader(answer));
    const failed = failureOfSource(control);
    const records = await Promise.race([receive(job, fs, offer, answer), failed]);
    if (job.fault?.kind === "slow-finish") await finishSlowly(job, records, failed, job.fault.afterMs);
    if (job.fault?.kind === "late-success") {
      await setTimeout(job.fault.afterMs);
      if (job.unit.kind === "volume" && !host.generation.tellsLateSuccess) {
        failed.catch(() => {});
        connections.forget();
        return;
      }
    }
    await control.send(encodeControl(undefined));
    // The source ends the connections, however it ends itself: its end is its own affair.
    await failed.catch(() => {});
  } catch (error) {
    await control.send(encodeControl(textOf(error))).catch(() => {});
    throw error;
  } finally {
    stopWatching();
    if (!connections.areForgotten) connections.disconnect();
  }
}

/** Deletes what the source lacks, there and then, and asks for what is missing. */
function answerTo(job: SinkJob, offer: MigrationHeader): MigrationHeader {
  const { host, unit, refresh, snapshotless, fault } = job;
  const driver = host.state.pools.get(unit.pool)?.driver ?? "dir";
  const own = typeOf(driver, unit);
  const fallback = own === FS.blockAndRsync ? FS.blockAndRsync : FS.rsync;
  const isOptimised = own === offer.fs && !(refresh && snapshotless);
  const names = refresh ? wantedOf(job, offer) : offer.snapshotNames;
  const asked = fault?.kind === "ask-for" ? [...names, ...fault.names] : names;
  const invented = asked.filter((name) => !offer.snapshotNames.includes(name)).map(inventedSnapshot);
  return {
    fs: isOptimised ? own : fallback,
    snapshotNames: asked,
    snapshots: [...offer.snapshots.filter((snapshot) => asked.includes(snapshot.name)), ...invented],
    refresh,
    zfsMigrationHeader: offer.zfsMigrationHeader,
    btrfsSubvolumeUuids: offer.btrfsSubvolumeUuids,
    indexHeaderVersion:
      fault?.kind === "header-version" ? fault.version : Math.min(offer.indexHeaderVersion, INDEX_HEADER_VERSION),
    volumeSize: offer.volumeSize,
  };
}

function inventedSnapshot(name: string): HeaderSnapshot {
  return { name, localConfig: {}, localDevices: {}, profiles: [], creationDate: 0n, expiryDate: 0n };
}

function wantedOf({ unit, excludeOlder, snapshotless }: SinkJob, offer: MigrationHeader): string[] {
  const unitNanos = unit.kind === "instance" ? 1_000_000_000n : 1n;
  const offered = offer.snapshots.map(({ name, creationDate }) => ({ name, createdAt: creationDate * unitNanos }));
  const { wanted, surplus } = compareSnapshots(snapshotless ? [] : offered, unit.snapshots, excludeOlder);
  for (const name of surplus) dropSnapshot(unit, name);
  return wanted;
}

/** A refresh that loses its source now takes its snapshots back, and forgets that they have volumes. */
async function finishSlowly(
  { unit, refresh }: SinkJob,
  written: readonly SnapshotRecord[],
  failed: Promise<never>,
  afterMs: number,
): Promise<void> {
  let isOver = false;
  const lost = failed.catch((error: unknown) => {
    if (!isOver && refresh) halve(unit, written);
    throw error;
  });
  await Promise.race([setTimeout(afterMs), lost]);
  isOver = true;
}

/** Never resolves: rejects when the source says that it failed, or is gone. */
async function failureOfSource(control: Channel): Promise<never> {
  try {
    throw new Refusal(500, `Error from migration control source: ${textOf(await headerFrom(control))}`);
  } catch (error) {
    throw new Refusal(500, `Error reading migration control source: ${textOf(error)}`);
  }
}

/** Gives the snapshots that were written down for what has come. */
async function receive(
  job: SinkJob,
  fs: Channel,
  offer: MigrationHeader,
  answer: MigrationHeader,
): Promise<readonly SnapshotRecord[]> {
  const { unit } = job;
  const wanted = offer.snapshots.filter(({ name }) => answer.snapshotNames.includes(name));
  if (unit.kind === "instance")
    for (const { profiles } of wanted) requireProfiles(job.host.state, unit.project, profiles);
  const offered = wanted.map((snapshot) => recordFromHeader(unit, snapshot));
  // Those of an instance are there before there is anything of their volumes.
  const isThere = ({ name }: SnapshotRecord) => unit.snapshots.some((snapshot) => snapshot.name === name);
  let written =
    unit.kind === "instance"
      ? writeDown(
          unit,
          offered.filter((record) => !isThere(record)),
        )
      : [];
  try {
    const index = await indexFrom(job, fs, answer);
    if (unit.kind === "instance") refuseHalves(unit, answer.snapshotNames);
    else written = writeDown(unit, index === undefined ? offered : recordsOf(unit, wanted, index));
    if (job.fault?.kind === "false-success") fs.cut();
    else await receiveContent(job, fs, answer);
    return written;
  } catch (error) {
    takeBack(unit, written, answer.snapshotNames);
    throw error;
  }
}

/** Of volumes the index header says more than the offer. */
function recordsOf(unit: UnitRecord, wanted: readonly HeaderSnapshot[], index: Index): SnapshotRecord[] {
  return wanted.map((snapshot) => recordFromIndex(index, snapshot.name) ?? recordFromHeader(unit, snapshot));
}

async function indexFrom({ refresh }: SinkJob, fs: Channel, answer: MigrationHeader): Promise<Index | undefined> {
  if (answer.indexHeaderVersion === 0) return undefined;
  const index = Index.parse(JSON.parse((await fs.part()).toString("utf8")));
  await fs.sendPart(Buffer.from(JSON.stringify({ StatusCode: 200, Error: "", Refresh: refresh })));
  return index;
}

async function receiveContent(job: SinkJob, fs: Channel, answer: MigrationHeader): Promise<void> {
  const { host, unit, refresh } = job;
  unit.content = await receiveData({
    unit,
    fs,
    type: answer.fs,
    driver: host.state.pools.get(unit.pool)?.driver ?? "dir",
    generation: host.generation,
    wanted: answer.snapshotNames,
    refresh,
    left: () => roomIn(job) - fs.received,
  });
  refuseOverQuota(unit);
}

function roomIn({ fault }: SinkJob): number {
  return fault?.kind === "storage-full" ? fault.afterBytes : Number.POSITIVE_INFINITY;
}

function refuseOverQuota(unit: UnitRecord): void {
  const size = bytesOfSize(unit.config["size"] ?? "");
  if (size !== undefined && unit.content.length > size) throw new Refusal(500, "Disk quota exceeded");
}
