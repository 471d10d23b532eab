import type { Reader } from "../model/ports.ts";
import { MINUTE_MS } from "../model/time.ts";
import { isAtWork, type Mark, newMark } from "./holder.ts";
import type { StorageOptions } from "./options.ts";
import { storagePrograms } from "./programs.ts";
import { zfsVia } from "./zfs.ts";
import { holdDatasets } from "./zfs-hold.ts";
import { removeMarked, type ZfsTools } from "./zfs-marks.ts";
import { openDatasets } from "./zfs-parts.ts";

/** However much there is to remove. */
const REMOVAL_MS = 10 * MINUTE_MS;

/** Reads workloads and datasets from one ZFS snapshot of them all, each zpool at one moment. */
export function zfsReader(options: StorageOptions & { readonly mountFolder: string }): Reader {
  const { root, files, disks, clock, mountFolder } = options;
  const programs = storagePrograms(options.processes);
  const tools: ZfsTools = { zfs: zfsVia(programs, clock), files, disks, programs, mountFolder };
  return {
    sweep: (owner, signal) =>
      removeMarked(
        async (mark) => mark.owner === owner && !(await isAtWork(mark.holder, files, signal)),
        tools,
        signal,
      ),
    hold: async (subjects, run, signal) => {
      const mark = await newMark(run, files, signal);
      const isOurs = async (other: Mark) => other.owner === mark.owner && other.run === mark.run;
      const release = async () => {
        await removeMarked(isOurs, tools, AbortSignal.timeout(REMOVAL_MS));
      };
      let number = 0;
      const nextNumber = () => number++;
      try {
        const holdings = await holdDatasets(subjects, root, mark, tools.zfs, signal);
        const opener = { mark, holdings, tools, clock, nextNumber };
        return { open: (subject, opening) => openDatasets(subject, opener, opening), release };
      } catch (cause) {
        await release();
        throw cause;
      }
    },
  };
}
