import { clearRestore } from "../config/clear-restore.ts";
import { AgentError } from "../model/errors.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import type { Context } from "./command.ts";
import { restoreToIncus } from "./offsite-restore-incus.ts";
import { findBackup, withArchive } from "./with-archive.ts";

/**
 * Restores what `offsite.restore_snapshot_id` asks for, in the place of what is there, which is set aside. The wish is
 * taken out of the file first: what cannot be taken out would be restored again at every run.
 */
export async function restoreOnce(offsite: OffsiteConfig, path: string, context: Context): Promise<void> {
  const { world, globals } = context;
  const id = offsite.restoreSnapshotId;
  if (id === undefined) return;
  const { tags } = await withArchive(context, async (archive) => findBackup(await archive.list(world.signal), id));
  const { workload, part } = tags;
  if (workload === undefined || part === undefined) {
    throw new AgentError("config.invalid", `Cannot restore backup ${id}: it is not one of a workload`, {
      hint: "empty offsite.restore_snapshot_id; iab offsite restore --to writes any backup to a folder",
    });
  }
  await world.files.writePrivate(path, clearRestore(await world.files.read(path, world.signal)));
  world.log.warn("restore.asked", { id, workload, by: "offsite.restore_snapshot_id, which is empty now" });
  const there = { server: undefined, pool: undefined, withoutDevice: [], ignoreSpace: false };
  const quiet = { ...context, globals: { ...globals, quiet: true } };
  await restoreToIncus({ ...there, toIncus: workload, replace: true, yes: true }, id, quiet);
}
