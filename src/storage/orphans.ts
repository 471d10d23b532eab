import type { Files } from "../model/ports.ts";
import { readIfThere } from "./holder.ts";
import type { Programs } from "./programs.ts";

/**
 * Ends what a killed run had reading in a folder of ours and nobody waits for any more: backups of Kopia that name the
 * folder. Whatever else looks into the folder is left alone.
 */
export async function endOrphans(
  folder: string,
  { files, programs }: { readonly files: Files; readonly programs: Programs },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const ended: string[] = [];
  for (const pid of (await files.list("/proc")).filter((name) => /^\d+$/.test(name))) {
    const words = ((await readIfThere(`/proc/${pid}/cmdline`, files, signal)) ?? "").split("\0");
    const reads = words.some((word) => word === folder || word.startsWith(`${folder}/`));
    if (!reads || !words.includes("snapshot") || !words.includes("create")) continue;
    // One that has ended by itself meanwhile is none to speak of.
    const { exitCode } = await programs.attempt(["kill", "-9", pid], `end process ${pid}`, signal);
    if (exitCode === 0) ended.push(`process ${pid}, which backed up ${folder}`);
  }
  return ended;
}
