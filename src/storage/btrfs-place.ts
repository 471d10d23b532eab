import { join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { Disks, Files } from "../model/ports.ts";
import { type Subject, subjectId } from "../model/reading.ts";

/** Where Incus mounts its pools, unless it was told otherwise. */
const POOLS_FOLDER = "/var/lib/incus/storage-pools";

/** What of a subject lies where in its pool, and whether it is files or a disk. */
export type BtrfsPlace = {
  readonly pool: string;
  /** From the pool's folder on. */
  readonly path: string;
  /** `machine`: a disk, and the files of its configuration beside it. */
  readonly holds: "files" | "disk" | "machine";
};

/** The one file that a disk is, below its subvolume. */
export const DISK_FILE = "root.img";

/** As Incus lays out a pool of btrfs. */
export function btrfsPlace(subject: Subject): BtrfsPlace {
  if (subject.kind === "dataset") {
    throw new AgentError("storage.unusable", `Cannot read dataset ${subject.dataset} from btrfs`);
  }
  const { workload, pool } = subject;
  if (pool.driver !== "btrfs") {
    const message = `Cannot read ${subjectId(subject)} from btrfs: the driver of pool ${pool.name} is ${pool.driver}`;
    throw new AgentError("storage.unusable", message, { hint: `choose it in a source that reads with "export"` });
  }
  if (workload.kind === "volume") {
    const holds = workload.contentType === "filesystem" ? "files" : "disk";
    return { pool: pool.name, path: `custom/${workload.project}_${workload.name}`, holds };
  }
  const name = workload.project === "default" ? workload.name : `${workload.project}_${workload.name}`;
  return workload.type === "container"
    ? { pool: pool.name, path: `containers/${name}`, holds: "files" }
    : { pool: pool.name, path: `virtual-machines/${name}`, holds: "machine" };
}

/** The folder where a pool is mounted on this machine; throws, with what to do, where it is not seen here. */
export async function poolFolder(pool: string, root: string | undefined, disks: Disks): Promise<string> {
  const folder = root ?? join(POOLS_FOLDER, pool);
  const found = await disks.look(folder);
  const isMounted =
    found?.kind === "folder" &&
    (await disks.isBtrfs(folder)) &&
    // An empty folder may lie on another btrfs: a pool of Incus has these.
    (await disks.look(join(folder, "custom")))?.kind === "folder";
  if (isMounted) return folder;
  const why = found === undefined ? "there is no such folder" : "no pool of btrfs is mounted there";
  throw new AgentError("storage.unusable", `Cannot read pool ${pool} from ${folder}: ${why}`, {
    hint:
      "Incus may have it mounted where only its daemon sees it: mount the pool's device once more, with the same " +
      "subvol option, and name that folder as root of the source (docs/offsite.md); or read with export",
  });
}

/** The folders of all pools that a reader may have held something in, for the sweep. */
export async function poolsHere(
  root: string | undefined,
  { files, disks }: { readonly files: Files; readonly disks: Disks },
): Promise<readonly string[]> {
  const folders =
    root === undefined ? (await files.list(POOLS_FOLDER)).map((pool) => join(POOLS_FOLDER, pool)) : [root];
  const pools = [];
  for (const folder of folders) {
    if ((await disks.look(folder))?.kind === "folder" && (await disks.isBtrfs(folder))) pools.push(folder);
  }
  return pools;
}
