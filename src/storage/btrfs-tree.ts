import { join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { Disks } from "../model/ports.ts";
import type { Btrfs, Subvolume } from "./btrfs.ts";

export type BtrfsTools = { readonly btrfs: Btrfs; readonly disks: Disks };

/** One subvolume that is held: where it is, where its snapshot is, and its path in the file system. */
export type Tree = { readonly source: string; readonly target: string; readonly path: string };

/** The number that the kernel gives to the root of every subvolume, and to the empty folder that stands for a nested one. */
const ROOT_INODE = 256;
const STUB_INODE = 2;

/** The subvolumes below one, nearest first, each with its path from there. */
export function nestedIn(path: string, all: readonly Subvolume[]): (Subvolume & { readonly below: string })[] {
  const prefix = path === "" ? "" : `${path}/`;
  return all
    .filter((each) => each.path.startsWith(prefix) && each.path !== path)
    .map((each) => ({ ...each, below: each.path.slice(prefix.length) }))
    .sort((a, b) => depthOf(a.below) - depthOf(b.below));
}

/**
 * A snapshot holds an empty folder where a subvolume lay in its source. Fills each one with a snapshot of its own, so
 * that the tree is whole, and makes all of it read-only. What was deleted meanwhile stays empty; what is new since the snapshot is left out.
 */
export async function fillNested(
  tree: Tree,
  before: readonly Subvolume[],
  after: readonly Subvolume[],
  { btrfs, disks }: BtrfsTools,
  signal: AbortSignal,
): Promise<void> {
  refuseMoved(tree, before, after);
  const filled: { below: string; uuids: readonly string[] }[] = [];
  for (const { below } of nestedIn(tree.path, after)) {
    const [from, to] = [join(tree.source, below), join(tree.target, below)];
    if (filled.some((each) => each.below === below) || !(await isStub(tree.target, below, disks))) continue;
    if (!(await isSubvolume(tree.source, below, disks))) continue;
    if (filled.length === 0) await btrfs.setMode(tree.target, "writable", signal);
    await disks.removeEmpty(to);
    await btrfs.snapshot(from, to, "writable", signal);
    filled.push({ below, uuids: after.filter(({ path }) => path === join(tree.path, below)).map(({ uuid }) => uuid) });
  }
  if (filled.length === 0) return;
  await proveFilled(tree, filled, btrfs, signal);
  for (const { below } of filled.toReversed()) await btrfs.setMode(join(tree.target, below), "read-only", signal);
  await btrfs.setMode(tree.target, "read-only", signal);
}

/** Deletes a tree of ours with all subvolumes in it. */
export async function removeTree(target: string, { btrfs, disks }: BtrfsTools, signal: AbortSignal): Promise<void> {
  const { path } = await btrfs.show(target, signal);
  const nested = [];
  for (const { below } of nestedIn(path, await btrfs.list(target, signal))) {
    if (await isSubvolume(target, below, disks)) nested.push(join(target, below));
  }
  const deepestFirst = [target, ...nested].toReversed();
  if (nested.length > 0) for (const each of deepestFirst) await btrfs.setMode(each, "writable", signal);
  for (const each of deepestFirst) await btrfs.remove(each, signal);
}

/** Whether a subvolume lies there, reached by folders only: a workload may put links where folders were. */
export async function isSubvolume(root: string, below: string, disks: Disks): Promise<boolean> {
  return (await inodeOf(root, below, disks)) === ROOT_INODE;
}

async function isStub(root: string, below: string, disks: Disks): Promise<boolean> {
  return (await inodeOf(root, below, disks)) === STUB_INODE;
}

/** Of a folder that is reached by folders only; undefined for all else. */
async function inodeOf(root: string, below: string, disks: Disks): Promise<number | undefined> {
  let inode: number | undefined;
  let path = root;
  for (const name of below.split("/")) {
    path = `${path}/${name}`;
    const found = await disks.look(path);
    if (found?.kind !== "folder" || [".", "..", ""].includes(name)) return undefined;
    inode = found.inode;
  }
  return inode;
}

function refuseMoved({ path, source }: Tree, before: readonly Subvolume[], after: readonly Subvolume[]): void {
  const now = new Map(after.map((each) => [each.id, each.path]));
  const moved = nestedIn(path, before).find((each) => now.has(each.id) && now.get(each.id) !== each.path);
  if (moved === undefined) return;
  throw new AgentError("storage.unusable", `Cannot read ${source}: its subvolume ${moved.below} was moved meanwhile`, {
    hint: "the next run reads it again",
  });
}

/** Names can be changed while a snapshot is taken: each one must be of the subvolume that was listed there. */
async function proveFilled(
  { source, target }: Tree,
  filled: readonly { readonly below: string; readonly uuids: readonly string[] }[],
  btrfs: Btrfs,
  signal: AbortSignal,
): Promise<void> {
  const own = await btrfs.show(target, signal);
  const nested = nestedIn(own.path, await btrfs.list(target, signal));
  for (const { below, uuids } of filled) {
    const made = nested.find((each) => each.below === below);
    if (made?.parentUuid !== undefined && uuids.includes(made.parentUuid)) continue;
    throw new AgentError("storage.unusable", `Cannot read ${source}: its subvolume ${below} was replaced meanwhile`, {
      hint: "the next run reads it again",
    });
  }
}

function depthOf(path: string): number {
  return path.split("/").length;
}
