import { AgentError } from "../model/errors.ts";
import type { Clock, Lock, Log } from "../model/ports.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";

const AGAIN_MS = SECOND_MS;

/** Takes the lock of a workload, waiting until the given moment for whoever has it; then `lock.held`. */
export async function awaitLock(
  unit: Unit,
  take: () => Promise<Lock>,
  { clock, log, giveUpAt }: { readonly clock: Clock; readonly log: Log; readonly giveUpAt: EpochMs },
  signal: AbortSignal,
): Promise<Lock> {
  for (let told = false; ; told = true) {
    const [taken] = await Promise.allSettled([take()]);
    if (taken.status === "fulfilled") return taken.value;
    if (!isHeld(taken.reason) || clock.now() >= giveUpAt) throw taken.reason;
    if (!told) log.info("workload.awaited", { workload: unitId(unit), why: taken.reason.message });
    await clock.sleep(AGAIN_MS, signal);
  }
}

/** Whether somebody else has the lock. */
export function isHeld(error: unknown): error is AgentError {
  return error instanceof AgentError && error.code === "lock.held";
}
