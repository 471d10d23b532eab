import { join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { Disks } from "../model/ports.ts";
import { type Subject, subjectId } from "../model/reading.ts";
import { type MarkTools, writeRecord } from "./btrfs-marks.ts";
import { type BtrfsPlace, btrfsPlace, poolFolder } from "./btrfs-place.ts";
import { fillNested, isSubvolume, type Tree } from "./btrfs-tree.ts";
import type { Mark } from "./holder.ts";

export type Held = { readonly place: BtrfsPlace; readonly tree: Tree };

/** What is held of each subject, by its id, or why it is not. */
export type Holdings = Map<string, Held | { readonly failure: AgentError }>;

type Placed = { readonly id: string; readonly place: BtrfsPlace };
export type PoolToHold = { readonly folder: string; readonly placed: readonly Placed[] };

/** The subjects by the folders of their pools. Those whose pool is not seen here are noted as failures. */
export async function poolsOf(
  subjects: readonly Subject[],
  root: string | undefined,
  holdings: Holdings,
  disks: Disks,
): Promise<readonly PoolToHold[]> {
  const pools = new Map<string, Placed[]>();
  for (const subject of subjects) {
    const id = subjectId(subject);
    await noting(id, holdings, async () => {
      const place = btrfsPlace(subject);
      const folder = await poolFolder(place.pool, root, disks);
      pools.set(folder, [...(pools.get(folder) ?? []), { id, place }]);
    });
  }
  if (root !== undefined) refuseSeveral(root, [...pools.values()].flat());
  return [...pools].map(([folder, placed]) => ({ folder, placed }));
}

type Prepared = PoolToHold & { readonly trees: readonly (Placed & { readonly tree: Tree })[] };

/** Takes the snapshots of all pools, one right after the other, once all is written down that they need. */
export async function holdAll(
  pools: readonly PoolToHold[],
  mark: Mark,
  holdings: Holdings,
  tools: MarkTools,
  signal: AbortSignal,
): Promise<void> {
  const prepared: Prepared[] = [];
  for (const pool of pools) prepared.push(await prepare(pool, mark, holdings, tools, signal));
  for (const pool of prepared) await take(pool, holdings, tools, signal);
}

async function prepare(
  pool: PoolToHold,
  mark: Mark,
  holdings: Holdings,
  { btrfs, disks, files }: MarkTools,
  signal: AbortSignal,
): Promise<Prepared> {
  const found: (Placed & { source: string; uuid: string; path: string })[] = [];
  for (const { id, place } of pool.placed) {
    await noting(id, holdings, async () => {
      const source = join(pool.folder, place.path);
      if (!(await isSubvolume(pool.folder, place.path, disks))) {
        throw new AgentError("storage.unusable", `Cannot read ${id} from ${source}: there is no such subvolume`, {
          hint: `see that ${pool.folder} is the folder of pool ${place.pool}`,
        });
      }
      const { uuid, path } = await btrfs.show(source, signal);
      found.push({ id, place, source, uuid, path });
    });
    signal.throwIfAborted();
  }
  const names = new Map(found.map(({ uuid }, index) => [String(index), uuid]));
  const folder = await writeRecord(pool.folder, mark, names, files);
  const trees = found.map(({ id, place, source, path }, index) => {
    return { id, place, tree: { source, path, target: join(folder, String(index)) } };
  });
  return { ...pool, trees };
}

async function take(pool: Prepared, holdings: Holdings, { btrfs, disks }: MarkTools, signal: AbortSignal) {
  const before = await btrfs.list(pool.folder, signal);
  for (const { id, place, tree } of pool.trees) {
    await noting(id, holdings, async () => {
      await btrfs.snapshot(tree.source, tree.target, "read-only", signal);
      holdings.set(id, { place, tree });
    });
    signal.throwIfAborted();
  }
  const after = await btrfs.list(pool.folder, signal);
  for (const { id, tree } of pool.trees) {
    if (!holdings.has(id) || "failure" in (holdings.get(id) ?? {})) continue;
    await noting(id, holdings, () => fillNested(tree, before, after, { btrfs, disks }, signal));
    signal.throwIfAborted();
  }
}

/** What cannot be held does the others no harm: it is said when it is opened. */
async function noting(id: string, holdings: Holdings, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (failure) {
    if (!(failure instanceof AgentError)) throw failure;
    holdings.set(id, { failure });
  }
}

function refuseSeveral(root: string, placed: readonly Placed[]): void {
  const pools = [...new Set(placed.map(({ place }) => place.pool))];
  if (pools.length < 2) return;
  const message = `Cannot read pools ${pools.join(" and ")} from ${root}: that is the folder of one pool`;
  throw new AgentError("storage.unusable", message, { hint: "give each pool a source of its own, with its own root" });
}
