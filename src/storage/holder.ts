import { randomBytes } from "node:crypto";
import { AgentError } from "../model/errors.ts";
import type { Files } from "../model/ports.ts";
import type { ReadingRun } from "../model/reading.ts";

/** What everything of ours on a storage bears: whose it is, of which reading, and which process reads it. */
export type Mark = { readonly owner: string; readonly run: string; readonly holder: string };

/** A mark that no other reading has: a run may read in several places at once, each giving up its own. */
export async function newMark({ owner, name }: ReadingRun, files: Files, signal: AbortSignal): Promise<Mark> {
  return { owner, run: `${name}-${randomBytes(3).toString("hex")}`, holder: await ownHolder(files, signal) };
}

/** This process, told apart from all others of this machine, before and after it: boot, number and start. */
export async function ownHolder(files: Files, signal: AbortSignal): Promise<string> {
  const boot = await bootId(files, signal);
  const stat = await files.read("/proc/self/stat", signal);
  return `${boot}.${stat.split(" ")[0]}.${startOf(stat)}`;
}

/** Whether the process that a mark names is still at work. */
export async function isAtWork(holder: string, files: Files, signal: AbortSignal): Promise<boolean> {
  const [boot, pid, start] = holder.split(".");
  if (boot !== (await bootId(files, signal))) return false;
  const stat = await readIfThere(`/proc/${pid}/stat`, files, signal);
  return stat !== undefined && startOf(stat) === start && !/\) [ZX] /.test(stat);
}

/** The text of a file that may vanish at any moment, as those of processes do. */
export async function readIfThere(path: string, files: Files, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await files.read(path, signal);
  } catch (cause) {
    if (cause instanceof AgentError && cause.code === "files.unusable") return undefined;
    throw cause;
  }
}

async function bootId(files: Files, signal: AbortSignal): Promise<string> {
  return (await files.read("/proc/sys/kernel/random/boot_id", signal)).trim();
}

/** The 22nd word; a program's name, the second, may hold blanks and brackets itself. */
function startOf(stat: string): string | undefined {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
