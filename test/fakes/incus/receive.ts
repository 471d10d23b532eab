import type { Channel } from "./channel.ts";
import { type Received, receiveDataset } from "./dataset-stream.ts";
import type { Generation } from "./generation.ts";
import { FS } from "./migration-header.ts";
import { Refusal } from "./reply.ts";
import { Subvolumes, ZfsDatasets, zfsMissing } from "./send.ts";
import { dropDataset, newGuid } from "./snapshot-store.ts";
import type { Dataset, Driver, UnitRecord } from "./state.ts";

/** What the target needs to know to take a unit's data from `fs`. */
export type Receiver = {
  readonly unit: UnitRecord;
  readonly fs: Channel;
  readonly type: number;
  readonly driver: Driver;
  readonly generation: Generation;
  /** The snapshots that were asked for on `control`. */
  readonly wanted: readonly string[];
  readonly refresh: boolean;
  /** How many bytes there is still room for. */
  readonly left: () => number;
};

/** Takes the data, changes the disk, and returns the head's content. What fails midway leaves no new snapshots. */
export async function receiveData(receiver: Receiver): Promise<Buffer> {
  const before = new Set(receiver.unit.datasets.map(({ guid }) => guid));
  try {
    if (receiver.type === FS.zfs) return await receiveZfs(receiver);
    return receiver.type === FS.btrfs ? await receiveBtrfs(receiver) : await receiveRsync(receiver);
  } catch (error) {
    receiver.unit.datasets = receiver.unit.datasets.filter(({ guid }) => before.has(guid));
    throw error;
  }
}

async function receiveRsync({ unit, fs, driver, wanted, left }: Receiver): Promise<Buffer> {
  const fresh: Dataset[] = [];
  for (const name of wanted) {
    const received = await receiveDataset(fs, left);
    fresh.push({ name, guid: newGuid(driver), receivedGuid: "", content: received.on(undefined) });
  }
  const head = (await receiveDataset(fs, left)).on(undefined);
  unit.datasets.push(...fresh);
  return head;
}

async function receiveBtrfs(receiver: Receiver): Promise<Buffer> {
  const { unit, fs, refresh, left } = receiver;
  const offered = Subvolumes.parse(JSON.parse((await fs.part()).toString("utf8"))).subvolumes;
  let names: readonly string[] = receiver.wanted;
  if (refresh) {
    const onDisk = new Map(unit.datasets.map(({ name, receivedGuid }) => [name, receivedGuid]));
    const missing = offered.filter(({ snapshot, uuid }) => onDisk.get(snapshot) !== uuid);
    await fs.sendPart(Buffer.from(JSON.stringify({ subvolumes: missing })));
    names = missing.flatMap(({ snapshot }) => (snapshot === "" ? [] : [snapshot]));
  }
  const fresh: Dataset[] = [];
  for (const name of names) {
    const received = await receiveDataset(fs, left);
    const content = received.on(btrfsBase([...unit.datasets, ...fresh], received));
    fresh.push({ name, guid: newGuid("btrfs"), receivedGuid: received.guid, content });
  }
  const head = await receiveDataset(fs, left);
  const content = head.on(btrfsBase([...unit.datasets, ...fresh], head));
  unit.datasets = [...unit.datasets.filter(({ name }) => !names.includes(name)), ...fresh];
  return content;
}

function btrfsBase(disk: readonly Dataset[], { baseGuid }: Received): Buffer | undefined {
  if (baseGuid === undefined) return undefined;
  const found = disk.find(({ receivedGuid }) => receivedGuid === baseGuid);
  if (found === undefined) throw new Refusal(500, "ERROR: cannot find parent subvolume");
  return found.content;
}

async function receiveZfs(receiver: Receiver): Promise<Buffer> {
  const { unit, fs, left } = receiver;
  const offered = ZfsDatasets.parse(JSON.parse((await fs.part()).toString("utf8"))).snapshot_datasets;
  const names = receiver.refresh ? await prepareZfs(receiver, offered) : receiver.wanted;
  for (const _ of names) {
    const received = await receiveDataset(fs, left);
    const content = zfsContent(unit, received);
    unit.datasets.push({ name: received.name, guid: received.guid, receivedGuid: "", content });
  }
  return zfsHead(receiver, await receiveDataset(fs, left));
}

/** Tells the own GUIDs, deletes what does not fit, and knows what will come. */
async function prepareZfs(receiver: Receiver, offered: readonly { name: string; guid: string }[]): Promise<string[]> {
  const { unit, fs, generation, wanted } = receiver;
  const snapshotless = wanted.length === 0;
  const { newest, old } = { newest: refuseOrDropZfs, old: wipeOrDropZfs };
  const drop = generation.zfsNewestCommon ? newest : old;
  drop(unit, offered, snapshotless);
  const own = unit.datasets.map(({ name, guid }) => ({ name, guid }));
  // Back to the newest snapshot: what was written on the target since is lost.
  unit.content = unit.datasets.at(-1)?.content ?? unit.content;
  await fs.sendPart(Buffer.from(JSON.stringify({ snapshot_datasets: own })));
  const guids = own.map(({ guid }) => guid);
  return snapshotless ? [] : zfsMissing(offered, guids, generation.zfsNewestCommon);
}

/** From 7.0.1: keeps what the source has too, up to the newest common one; without a common one it refuses. */
function refuseOrDropZfs(
  unit: UnitRecord,
  offered: readonly { name: string; guid: string }[],
  snapshotless: boolean,
): void {
  const guids = new Set(offered.map(({ guid }) => guid));
  const names = new Set(offered.map(({ name }) => name));
  const isCommon = ({ guid }: Dataset): boolean => guids.has(guid);
  if (!snapshotless && unit.datasets.length > 0 && offered.length > 0 && !unit.datasets.some(isCommon)) {
    throw new Refusal(
      500,
      "Cannot refresh volume: source and target snapshots have no common base (GUID mismatch). " +
        "Delete the target volume and copy again.",
    );
  }
  for (const dataset of [...unit.datasets]) {
    if (snapshotless ? !names.has(dataset.name) : !isCommon(dataset)) dropDataset(unit, dataset.name);
  }
}

/** Up to 7.0.0: when the oldest of both sides differ everything goes; else whatever the source has no name for. */
function wipeOrDropZfs(
  unit: UnitRecord,
  offered: readonly { name: string; guid: string }[],
  snapshotless: boolean,
): void {
  const [first] = unit.datasets;
  const oldest = offered[0];
  if (!snapshotless && first !== undefined && oldest !== undefined && first.guid !== oldest.guid) {
    unit.datasets = [];
    return;
  }
  const names = new Set(offered.map(({ name }) => name));
  unit.datasets = unit.datasets.filter(({ name }) => names.has(name));
}

/** A forced receive: rolls back to the base, and destroys what is newer than it. */
function zfsContent(unit: UnitRecord, received: Received): Buffer {
  if (received.baseGuid === undefined) {
    if (unit.datasets.length === 0) return received.on(undefined);
    throw new Refusal(500, "cannot receive new filesystem stream: destination has snapshots");
  }
  const at = unit.datasets.findIndex(({ guid }) => guid === received.baseGuid);
  const base = unit.datasets[at];
  if (base === undefined) {
    throw new Refusal(500, "cannot receive incremental stream: most recent snapshot does not match incremental source");
  }
  unit.datasets = unit.datasets.slice(0, at + 1);
  return received.on(base.content);
}

/** Old servers take a head that they cannot place for done: the newest snapshot goes, and the head is what it was. */
function zfsHead({ unit, generation }: Receiver, received: Received): Buffer {
  const hasBase = unit.datasets.some(({ guid }) => guid === received.baseGuid);
  if (generation.zfsNewestCommon || received.baseGuid === undefined || hasBase) return zfsContent(unit, received);
  const newest = unit.datasets.pop();
  return newest?.content ?? unit.content;
}
