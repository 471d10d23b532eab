import { join } from "node:path";
import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import type { Files } from "../model/ports.ts";
import { type BtrfsTools, isSubvolume, removeTree } from "./btrfs-tree.ts";
import { isAtWork, type Mark, readIfThere } from "./holder.ts";
import { endOrphans } from "./orphans.ts";
import type { Programs } from "./programs.ts";

/**
 * Btrfs has no place for a mark on a read-only snapshot. So what is to be made is written down before: for each snapshot
 * its name and the UUID of the subvolume that it will be of, which the kernel keeps in the snapshot. What is not written
 * down, or is of another subvolume, is not ours.
 */
const Record = z.object({
  version: z.literal(1),
  owner: z.string(),
  run: z.string(),
  holder: z.string(),
  trees: z.record(z.string(), z.string()),
});
type Record = z.infer<typeof Record>;

/** The folder of ours in a pool. */
const FOLDER = ".iab-offsite";
/** A writable copy of one of our own snapshots, without the disk that is read from that. */
export const COPY_SUFFIX = "-files";
const DRAFT = /^\.[0-9a-f-]{36}\.tmp$/;

export type MarkTools = BtrfsTools & { readonly files: Files; readonly programs: Programs };

/** Writes down what a run is about to make in a pool; the folder that it may then make it in. */
export async function writeRecord(
  pool: string,
  mark: Mark,
  trees: ReadonlyMap<string, string>,
  files: Files,
): Promise<string> {
  const folder = join(ownFolder(pool, mark.owner), mark.run);
  if (await files.exists(`${folder}.json`)) {
    throw new AgentError("storage.unusable", `Cannot hold ${pool}: ${folder} is there from another run`, {
      hint: "the next run has another name",
    });
  }
  const record: Record = { version: 1, ...mark, trees: Object.fromEntries(trees) };
  await files.writePrivate(`${folder}.json`, JSON.stringify(record));
  await files.privateFolder(folder);
  return folder;
}

/** Removes what runs of this owner have left in a pool, but for those at work; says what it was. */
export async function sweepPool(
  pool: string,
  owner: string,
  tools: MarkTools,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { files, disks } = tools;
  const folder = ownFolder(pool, owner);
  const removed: string[] = [];
  for (const name of await files.list(folder)) {
    if (DRAFT.test(name)) await files.remove(join(folder, name));
    if (!name.endsWith(".json")) continue;
    const record = await readRecord(join(folder, name), files, signal);
    if (record === undefined || record.owner !== owner) continue;
    if (await isAtWork(record.holder, files, signal)) continue;
    removed.push(...(await removeRun(pool, record, tools, signal)));
  }
  await disks.removeEmpty(folder);
  await disks.removeEmpty(join(pool, FOLDER));
  return removed;
}

/** Removes all that one run has made in a pool; says what it was. */
export async function removeRun(
  pool: string,
  mark: Mark,
  tools: MarkTools,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { files, disks } = tools;
  const own = ownFolder(pool, mark.owner);
  const folder = join(own, mark.run);
  const record = await readRecord(`${folder}.json`, files, signal);
  if (record === undefined) return [];
  const removed = [...(await endOrphans(folder, tools, signal))];
  for (const name of await provenTrees(folder, record, tools, signal)) {
    await removeTree(join(folder, name), tools, signal);
    removed.push(`snapshot ${join(folder, name)}`);
  }
  await disks.removeEmpty(folder);
  if ((await disks.look(folder)) !== undefined) {
    throw new AgentError(
      "storage.left",
      `Cannot remove ${folder}: there is something in it that is not of run ${mark.run}`,
      {
        hint: "look at what is in there and remove it by hand; then the next run removes the folder",
      },
    );
  }
  await files.remove(`${folder}.json`);
  await disks.removeEmpty(own);
  await disks.removeEmpty(join(pool, FOLDER));
  return removed;
}

/** The snapshots in a run's folder that are what its record says; copies of others before those. */
async function provenTrees(
  folder: string,
  { trees }: Record,
  { btrfs, disks, files }: MarkTools,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = [];
  for (const name of await files.list(folder)) {
    if (await isSubvolume(folder, name, disks)) found.push({ name, ...(await btrfs.show(join(folder, name), signal)) });
  }
  const ours = found.filter(({ name, parentUuid }) => parentUuid !== undefined && trees[name] === parentUuid);
  const copies = found.filter(({ name, parentUuid }) =>
    ours.some((tree) => name === `${tree.name}${COPY_SUFFIX}` && parentUuid === tree.uuid),
  );
  return [...copies, ...ours].map(({ name }) => name);
}

async function readRecord(path: string, files: Files, signal: AbortSignal): Promise<Record | undefined> {
  const text = await readIfThere(path, files, signal);
  return text === undefined ? undefined : Record.safeParse(parsed(text)).data;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Somebody else's file: it says nothing of ours.
    return undefined;
  }
}

function ownFolder(pool: string, owner: string): string {
  return join(pool, FOLDER, owner.replaceAll(/[^A-Za-z0-9@._-]/g, "-").replace(/^\.+/, "-"));
}
