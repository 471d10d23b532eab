import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { call } from "../test/lab/daemon-api.ts";
import type { LabDaemon } from "../test/lab/lab.ts";

const PATIENCE_MS = 300_000;
const PAUSE_MS = 500;

const Resources = z.object({ space: z.object({ used: z.number(), total: z.number() }) });

/** What a pool has left, as its server tells it. */
export async function freeBytes(daemon: LabDaemon, pool: string): Promise<number> {
  const { space } = Resources.parse(await call(daemon, "GET", `/1.0/storage-pools/${pool}/resources`));
  return space.total - space.used;
}

/**
 * Waits until a pool has room: btrfs frees what was deleted some time later, in the background. What is measured after
 * that has neither too little room nor that work beside it.
 */
export async function awaitRoom(daemon: LabDaemon, pool: string, wantedBytes: number): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const bytes = await freeBytes(daemon, pool);
    if (bytes >= wantedBytes) return;
    if (performance.now() > until) {
      throw new Error(`After ${PATIENCE_MS / 1000} s the pool ${pool} has ${bytes} bytes free, not ${wantedBytes}`);
    }
    await sleep(PAUSE_MS);
  }
}
