import type { Disks, Files, Processes } from "../../src/model/ports.ts";
import type { ReadingRun, Subject } from "../../src/model/reading.ts";
import { btrfsReader } from "../../src/storage/btrfs-reader.ts";
import { zfsReader } from "../../src/storage/zfs-reader.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemDisks } from "../../src/system/disks.ts";
import { systemFiles } from "../../src/system/files.ts";
import { systemProcesses } from "../../src/system/processes.ts";

/**
 * A program of its own that sweeps, holds, opens, reads a little and gives up, and can be killed at any step of that:
 * before the effect of that number (an even `killAt`), or right after it has begun (an odd one). The words of its one
 * argument are these.
 */
export type HolderOrders = {
  readonly read: "zfs" | "btrfs";
  readonly root: string | undefined;
  readonly mountFolder: string;
  readonly subjects: readonly Subject[];
  readonly run: ReadingRun;
  readonly killAt: number | undefined;
};

const orders: HolderOrders = JSON.parse(process.argv[2] ?? "");
let effects = 0;

/** SIGKILL is what it says: nothing after it is done. */
async function effect<T>(work: () => Promise<T>): Promise<T> {
  const at = 2 * effects++;
  if (orders.killAt === at) process.kill(process.pid, "SIGKILL");
  const done = work();
  // By now a program has been started, and goes on without us.
  if (orders.killAt === at + 1) process.kill(process.pid, "SIGKILL");
  return await done;
}

const programs = systemProcesses();
const processes: Processes = { ...programs, run: (command, signal) => effect(() => programs.run(command, signal)) };
const files: Files = {
  ...systemFiles,
  writePrivate: (path, text) => effect(() => systemFiles.writePrivate(path, text)),
  privateFolder: (path) => effect(() => systemFiles.privateFolder(path)),
  remove: (path) => effect(() => systemFiles.remove(path)),
};
const disks: Disks = { ...systemDisks, removeEmpty: (folder) => effect(() => systemDisks.removeEmpty(folder)) };

const { root, mountFolder, run, subjects } = orders;
const options = { root, files, disks, processes, clock: systemClock };
const reader = orders.read === "zfs" ? zfsReader({ ...options, mountFolder }) : btrfsReader(options);
const signal = AbortSignal.timeout(600_000);

const swept = await reader.sweep(run.owner, signal);
const first = effects;
const reading = await reader.hold(subjects, run, signal);
for (const subject of subjects) {
  const opened = await reading.open(subject, signal);
  for (const part of opened.parts) if (part.kind === "stream") for await (const _ of part.bytes(signal)) break;
  await opened.close();
}
await reading.release();
process.stdout.write(JSON.stringify({ swept, first, effects }));
