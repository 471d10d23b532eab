import type { SnapshotStep } from "../model/plan.ts";
import type { Tools } from "./act-on.ts";
import { startAgain } from "./start-again.ts";
import { stopFor, toBeStopped } from "./stop-for.ts";

/** Takes a snapshot; where the step says so, of an instance that is stopped for it and started again at once. */
export async function takeSnapshot(step: SnapshotStep, tools: Tools, signal: AbortSignal): Promise<void> {
  const { unit, name, notBefore } = step;
  const { source: server } = tools.servers;
  if (notBefore !== undefined) await tools.clock.sleep(Math.max(0, notBefore - tools.clock.now()), signal);
  const stopper = { server, clock: tools.clock, log: tools.log, run: tools.run };
  const running = step.stop && unit.kind === "instance" ? await toBeStopped(unit, stopper, signal) : undefined;
  if (running === undefined) return server.createSnapshot(unit, name, signal);
  try {
    await stopFor(running, stopper, signal);
    signal.throwIfAborted();
    await server.createSnapshot(unit, name, signal);
  } finally {
    await startAgain(running, stopper);
  }
}
