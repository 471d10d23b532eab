import type { Reader } from "../model/ports.ts";
import { MINUTE_MS } from "../model/time.ts";
import { btrfsVia } from "./btrfs.ts";
import { type Holdings, holdAll, poolsOf } from "./btrfs-hold.ts";
import { type MarkTools, removeRun, sweepPool } from "./btrfs-marks.ts";
import { openHeld } from "./btrfs-parts.ts";
import { poolsHere } from "./btrfs-place.ts";
import { doAll } from "./do-all.ts";
import { newMark } from "./holder.ts";
import type { StorageOptions } from "./options.ts";
import { storagePrograms } from "./programs.ts";

/** However much there is to remove. */
const REMOVAL_MS = 10 * MINUTE_MS;

/**
 * Reads workloads from read-only btrfs snapshots of their subvolumes. Each subvolume is held at one moment; one after
 * another, since btrfs has no snapshot of several at once.
 */
export function btrfsReader(options: StorageOptions): Reader {
  const { root, files, disks } = options;
  const programs = storagePrograms(options.processes);
  const tools: MarkTools = { btrfs: btrfsVia(programs), files, disks, programs };
  return {
    sweep: async (owner, signal) =>
      doAll((await poolsHere(root, tools)).map((pool) => () => sweepPool(pool, owner, tools, signal))),
    hold: async (subjects, run, signal) => {
      const mark = await newMark(run, files, signal);
      const holdings: Holdings = new Map();
      const pools = await poolsOf(subjects, root, holdings, disks);
      const release = async () => {
        const ending = AbortSignal.timeout(REMOVAL_MS);
        await doAll(
          pools.map(
            ({ folder }) =>
              () =>
                removeRun(folder, mark, tools, ending),
          ),
        );
      };
      try {
        await holdAll(pools, mark, holdings, tools, signal);
      } catch (cause) {
        await release();
        throw cause;
      }
      return { open: (subject, opening) => openHeld(subject, holdings, tools, opening), release };
    },
  };
}
