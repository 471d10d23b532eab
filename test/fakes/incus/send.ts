import { z } from "zod";
import type { Channel } from "./channel.ts";
import { sendDataset } from "./dataset-stream.ts";
import type { Generation } from "./generation.ts";
import { FS } from "./migration-header.ts";
import { Refusal } from "./reply.ts";
import { newGuid } from "./snapshot-store.ts";
import type { Dataset, UnitRecord } from "./state.ts";

/** What the source needs to know to send a unit's data over `fs`. */
export type Sender = {
  readonly unit: UnitRecord;
  readonly fs: Channel;
  readonly type: number;
  readonly generation: Generation;
  /** The snapshots that the target asked for on `control`. */
  readonly wanted: readonly string[];
  /** The target has something to build on. */
  readonly refresh: boolean;
  readonly snapshotless: boolean;
};

export const Subvolumes = z.object({
  subvolumes: z
    .array(z.object({ path: z.string(), snapshot: z.string(), readonly: z.boolean(), uuid: z.string() }))
    .nullable()
    .transform((list) => list ?? []),
});

export const ZfsDatasets = z.object({
  snapshot_datasets: z
    .array(z.object({ name: z.string(), guid: z.string() }))
    .nullable()
    .transform((list) => list ?? []),
});

/** Sends the data in the way that both sides agreed on. */
export async function sendData(sender: Sender): Promise<void> {
  switch (sender.type) {
    case FS.zfs:
      return await sendZfs(sender);
    case FS.btrfs:
      return await sendBtrfs(sender);
    default:
      return await sendRsync(sender);
  }
}

/** Rsync knows nothing of the past: all that is wanted goes as a whole, the head too. */
async function sendRsync({ unit, fs, wanted }: Sender): Promise<void> {
  for (const name of wanted) await sendDataset(fs, onDisk(unit, name), undefined);
  await sendDataset(fs, headOf(unit), undefined);
}

/** Btrfs goes by what the target lacks of the subvolumes, whatever was said on `control`. */
async function sendBtrfs(sender: Sender): Promise<void> {
  const { unit, fs, refresh, snapshotless } = sender;
  const disk = snapshotless ? [] : unit.datasets;
  const head = headOf(unit);
  const all = [...disk.map(({ name, guid }) => ({ name, guid })), { name: "", guid: head.guid }];
  const subvolumes = all.map(({ name, guid }) => ({ path: "/", snapshot: name, readonly: name !== "", uuid: guid }));
  await fs.sendPart(Buffer.from(JSON.stringify({ subvolumes })));
  const names = refresh ? await subvolumesWanted(fs) : sender.wanted;
  let base = refresh ? before(disk, names[0]) : undefined;
  for (const name of names) {
    const dataset = onDisk(unit, name);
    await sendDataset(fs, dataset, base);
    base = dataset;
  }
  await sendDataset(fs, head, base ?? (refresh && names.length === 0 ? disk.at(-1) : undefined));
}

async function subvolumesWanted(fs: Channel): Promise<string[]> {
  const { subvolumes } = Subvolumes.parse(JSON.parse((await fs.part()).toString("utf8")));
  return subvolumes.flatMap(({ path, snapshot }) => (path === "/" && snapshot !== "" ? [snapshot] : []));
}

/** ZFS goes by GUIDs: the target tells its own, and both draw the same conclusion from them. */
async function sendZfs(sender: Sender): Promise<void> {
  const { unit, fs, generation, snapshotless } = sender;
  const disk = unit.datasets;
  const own = disk.map(({ name, guid }) => ({ name, guid }));
  await fs.sendPart(Buffer.from(JSON.stringify({ snapshot_datasets: own })));
  const onTarget = sender.refresh ? await guidsOnTarget(fs) : [];
  const incremental = sender.refresh && onTarget.length > 0;
  const names = sender.refresh ? zfsMissing(disk, onTarget, generation.zfsNewestCommon) : sender.wanted;
  let base: Dataset | undefined;
  for (const [at, name] of (snapshotless ? [] : names).entries()) {
    const dataset = onDisk(unit, name);
    if (at === 0 && incremental) base = before(disk, name);
    await sendDataset(fs, dataset, base);
    base = dataset;
  }
  await sendDataset(fs, headOf(unit), incremental ? disk.at(-1) : base);
}

async function guidsOnTarget(fs: Channel): Promise<string[]> {
  return ZfsDatasets.parse(JSON.parse((await fs.part()).toString("utf8"))).snapshot_datasets.map(({ guid }) => guid);
}

/** Newer servers send what is newer than the newest common one, older ones whatever the target lacks. */
export function zfsMissing(
  source: readonly { name: string; guid: string }[],
  target: readonly string[],
  newestCommon: boolean,
): string[] {
  const isThere = ({ guid }: { guid: string }): boolean => target.includes(guid);
  const from = newestCommon ? source.findLastIndex(isThere) + 1 : 0;
  return source.slice(from).flatMap((dataset) => (isThere(dataset) ? [] : [dataset.name]));
}

function onDisk(unit: UnitRecord, name: string): Dataset {
  const found = unit.datasets.find((dataset) => dataset.name === name);
  if (found === undefined) throw new Refusal(500, `Failed to send snapshot "${name}": dataset does not exist`);
  return found;
}

function before(disk: readonly Dataset[], name: string | undefined): Dataset | undefined {
  return disk[disk.findIndex((dataset) => dataset.name === name) - 1];
}

function headOf(unit: UnitRecord): { name: string; guid: string; content: Buffer } {
  return { name: "", guid: newGuid("btrfs"), content: unit.content };
}
