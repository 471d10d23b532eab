import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { call } from "./daemon-api.ts";
import type { LabDaemon } from "./lab.ts";

const run = promisify(execFile);
const RESTART = join(import.meta.dirname, "../../lab/restart");

/** Kills a daemon on the spot, as a crash would. Its containers and mounts stay; `restartDaemon()` brings it back. */
export async function crashDaemon(daemon: LabDaemon): Promise<void> {
  process.kill(await runningPid(daemon), "SIGKILL");
}

/** Restarts a daemon, crashed or not, and returns when it answers. */
export async function restartDaemon(daemon: LabDaemon): Promise<void> {
  const env = { ...process.env, IAB_LAB_DIR: daemon.lab };
  await run(RESTART, [daemon.generation, daemon.side], { env });
}

/** As the lab keeps it: a restart changes it. */
async function runningPid(daemon: LabDaemon): Promise<number> {
  const path = join(daemon.lab, "state", `${daemon.generation}-${daemon.side}`, "daemon");
  return Number(await readFile(path, "utf8"));
}

/** A small btrfs pool which is soon full; `deletePool()` removes it when it is empty again. */
export async function createTinyPool(daemon: LabDaemon, name: string, sizeMiB = 256): Promise<void> {
  await call(daemon, "POST", "/1.0/storage-pools", { name, driver: "btrfs", config: { size: `${sizeMiB}MiB` } });
}

export async function deletePool(daemon: LabDaemon, name: string): Promise<void> {
  await call(daemon, "DELETE", `/1.0/storage-pools/${name}`);
}
