import { AgentError } from "../model/errors.ts";
import { parseConfig } from "./parse-config.ts";

const ASKED = /("restore_snapshot_id"\s*:\s*)"(?:[^"\\\n]|\\.)*"/gi;

/** The text of a configuration with `restore_snapshot_id` made empty and all else as it was written. */
export function clearRestore(text: string): string {
  const cleared = text.replace(ASKED, '$1""');
  if (parseConfig(cleared).offsite?.restoreSnapshotId === undefined) return cleared;
  throw new AgentError("config.invalid", "Cannot clear offsite.restore_snapshot_id: it is not where it can be found", {
    hint: 'write it as "restore_snapshot_id": "…" on one line',
  });
}
