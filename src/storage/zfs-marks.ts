import { basename, dirname, join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { Disks, Files } from "../model/ports.ts";
import { doAll } from "./do-all.ts";
import type { Mark } from "./holder.ts";
import { type Mounted, mountsHere } from "./mounts.ts";
import { endOrphans } from "./orphans.ts";
import type { Programs } from "./programs.ts";
import type { MarkedThing, Zfs } from "./zfs.ts";

export type ZfsTools = {
  readonly zfs: Zfs;
  readonly files: Files;
  readonly disks: Disks;
  readonly programs: Programs;
  /** Ours alone: a folder in it for each run, and in that one for each mount. */
  readonly mountFolder: string;
};

/**
 * Removes everything whose mark is meant, in the order in which it lets go: mounts, clones, snapshots. Says what it was.
 * Nothing is removed by its name: only what bears the mark itself, and mounts of such snapshots where we mount them.
 */
export async function removeMarked(
  isMeant: (mark: Mark) => Promise<boolean>,
  tools: ZfsTools,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { zfs, files } = tools;
  const all = await zfs.marked(signal);
  const meant: MarkedThing[] = [];
  for (const thing of all) if (await isMeant(thing)) meant.push(thing);
  const mounts = (await mountsHere(files, signal)).filter((mount) => isOurs(mount, meant));
  const removed = await doAll([
    ...mounts.map((mount) => () => unmount(mount, tools, signal)),
    ...ordered(meant).map((thing) => () => remove(thing, zfs, tools, signal)),
  ]);
  await removeFolders(new Set(all.filter((thing) => !meant.includes(thing)).map(({ run }) => run)), tools);
  return removed;
}

/** A snapshot of ours, mounted where we mount: in a folder with a number, in one that is named after its run. */
function isOurs({ source, path }: Mounted, meant: readonly MarkedThing[]): boolean {
  const snapshot = meant.find(({ name, kind }) => kind === "snapshot" && name === source);
  return snapshot !== undefined && /^\d+$/.test(basename(path)) && basename(dirname(path)) === snapshot.run;
}

/** A snapshot cannot go before its clone. */
function ordered(things: readonly MarkedThing[]): readonly MarkedThing[] {
  return [...things.filter(({ kind }) => kind === "clone"), ...things.filter(({ kind }) => kind === "snapshot")];
}

async function unmount({ source, path }: Mounted, tools: ZfsTools, signal: AbortSignal): Promise<readonly string[]> {
  const ended = await endOrphans(path, tools, signal);
  await tools.zfs.unmount(path, signal);
  await tools.disks.removeEmpty(path);
  await tools.disks.removeEmpty(dirname(path));
  return [...ended, `mount of ${source}`];
}

async function remove(
  thing: MarkedThing,
  zfs: Zfs,
  { programs }: ZfsTools,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    await zfs.remove(thing, signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof AgentError)) throw cause;
    if (/does not exist|could not find any snapshots/.test(cause.message)) return [];
    throw new AgentError("storage.left", cause.message, { cause, hint: await obstacle(thing, programs, signal) });
  }
  return [`${thing.kind} ${thing.name}`];
}

/** What keeps something of ours there: a hold, a clone, a mount or a snapshot that is none of ours is left alone. */
async function obstacle({ name, kind }: MarkedThing, programs: Programs, signal: AbortSignal): Promise<string> {
  if (kind === "clone") return `zfs list -r -t all ${name} shows what somebody else made of it`;
  const { stdout } = await programs.attempt(["zfs", "holds", "-H", name], `look at ${name}`, signal);
  const tags = stdout.split("\n").flatMap((line) => line.split("\t")[1] ?? []);
  if (tags.length > 0) return tags.map((tag) => `somebody holds it: zfs release ${tag} ${name}`).join("; ");
  return `see who uses it: zfs get clones ${name}, and /proc/*/mountinfo; the next run tries again`;
}

async function removeFolders(atWork: ReadonlySet<string>, { files, disks, mountFolder }: ZfsTools): Promise<void> {
  for (const run of (await files.list(mountFolder)).filter((name) => !atWork.has(name))) {
    for (const name of await files.list(join(mountFolder, run))) await disks.removeEmpty(join(mountFolder, run, name));
    await disks.removeEmpty(join(mountFolder, run));
  }
}
