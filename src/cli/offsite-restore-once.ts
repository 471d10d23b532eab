import { clearRestore } from "../config/clear-restore.ts";
import { parseConfig } from "../config/parse-config.ts";
import { AgentError } from "../model/errors.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import type { World } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import type { Context } from "./command.ts";
import { type Once, restoreToIncus } from "./offsite-restore-incus.ts";
import { findBackup, withArchive } from "./with-archive.ts";

const CLEAR_MS = 10 * SECOND_MS;

/**
 * Restores what `offsite.restore_snapshot_id` asks for, in the place of what is there, which is set aside, and empties the key
 * then. What can be known beforehand to go wrong does so with nothing done. Once it begins to take the place of what is there
 * it is not tried again, whatever comes of it; until then it is, at the next run.
 */
export async function restoreOnce(offsite: OffsiteConfig, path: string, context: Context): Promise<void> {
  const { world, globals } = context;
  const id = offsite.restoreSnapshotId;
  if (id === undefined) return;
  const workload = await workloadOf(id, context);
  await refuseUnlessCleared(path, world);
  world.log.warn("restore.asked", { id, workload, by: "offsite.restore_snapshot_id" });
  let isPlacing = false;
  let isCleared = false;
  const clear = async () => {
    await clearAsked(path, id, world);
    isCleared = true;
  };
  const once: Once = {
    clear,
    placing: () => {
      isPlacing = true;
    },
  };
  const there = { server: undefined, pool: undefined, withoutDevice: [], ignoreSpace: false };
  const quiet = { ...context, globals: { ...globals, quiet: true } };
  try {
    await restoreToIncus({ ...there, toIncus: workload, replace: true, yes: true }, id, quiet, once);
  } catch (error) {
    // Whoever ends a run in order had everything turned back, and wants the next one to do it.
    if (isPlacing && !isCleared && !world.signal.aborted) await clear();
    throw error instanceof AgentError ? told(error, isCleared) : error;
  }
}

/** The workload that a backup is of. */
async function workloadOf(id: string, context: Context): Promise<string> {
  const { tags } = await withArchive(context, async (archive) =>
    findBackup(await archive.list(context.world.signal), id),
  );
  const { workload, part } = tags;
  if (workload !== undefined && part !== undefined) return workload;
  throw new AgentError("config.invalid", `Cannot restore backup ${id}: it is not one of a workload`, {
    hint: "empty offsite.restore_snapshot_id; iab offsite restore --to writes any backup to a folder",
  });
}

/** What cannot be taken out of the file would be restored again at every run: so the file is written once, as it is. */
async function refuseUnlessCleared(path: string, { files, signal }: World): Promise<void> {
  const text = await files.read(path, signal);
  clearRestore(text);
  await files.writePrivate(path, text);
}

/** Somebody may have asked for another one meanwhile. */
async function clearAsked(path: string, id: string, { files }: World): Promise<void> {
  const text = await files.read(path, AbortSignal.timeout(CLEAR_MS));
  if (parseConfig(text).offsite?.restoreSnapshotId !== id) return;
  await files.writePrivate(path, clearRestore(text));
}

function told(error: AgentError, isCleared: boolean): AgentError {
  const rest = isCleared
    ? "offsite.restore_snapshot_id is empty again: it was tried, and what was there is in its place"
    : "offsite.restore_snapshot_id stays: nothing is backed up until it is restored, or the key is emptied";
  const hint = error.hint === undefined ? rest : `${error.hint}; ${rest}`;
  return new AgentError(error.code, error.message, { cause: error, hint });
}
