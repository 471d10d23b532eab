import { AgentError } from "../model/errors.ts";
import { MARKS } from "../model/marks.ts";
import type { Clock, Log, Server } from "../model/ports.ts";
import { MINUTE_MS, SECOND_MS } from "../model/time.ts";
import { type InstanceUnit, unitLabel } from "../model/unit.ts";

const DEADLINE_MS = 5 * MINUTE_MS;
const START_TIMEOUT_MS = MINUTE_MS;
const LONGEST_BUSY_MS = MINUTE_MS;
const LOOK_AGAIN_MS = 500;
const PAUSES_MS = [1, 2, 4, 8].map((seconds) => seconds * SECOND_MS);

/** What instances of one server are started with. */
export type StartTools = { readonly server: Server; readonly clock: Clock; readonly log: Log };

/**
 * Starts an instance that was stopped for its snapshot and takes the mark off. Without a signal it has a deadline of its
 * own, for it must be done even when the run is over.
 */
export async function startAgain(
  unit: InstanceUnit,
  tools: StartTools,
  signal: AbortSignal = AbortSignal.timeout(DEADLINE_MS),
): Promise<void> {
  for (const pauseMs of [...PAUSES_MS, undefined]) {
    const [tried] = await Promise.allSettled([startOnce(unit, tools, signal)]);
    if (tried.status === "fulfilled") return;
    if (pauseMs === undefined || signal.aborted) throw staysDown(unit, tried.reason);
    await tools.clock.sleep(pauseMs, signal);
  }
}

async function startOnce(unit: InstanceUnit, tools: StartTools, signal: AbortSignal): Promise<void> {
  const { server } = tools;
  await settled(unit, tools, signal);
  const instance = await server.instance(unit, signal);
  // Deleted by a person meanwhile: there is nothing left to start.
  if (instance === undefined) return;
  if (instance.status !== "Running" && instance.status !== "Frozen") {
    await server.changeState(unit, "start", { timeoutMs: START_TIMEOUT_MS, force: false }, signal);
  }
  if (instance.config[MARKS.stopped] !== undefined) {
    await server.patchConfig(unit, { [MARKS.stopped]: "" }, signal);
  }
}

// An instance that is shutting down still shows as running, and would stay down if it were left at that.
async function settled(unit: InstanceUnit, { server, clock }: StartTools, signal: AbortSignal): Promise<void> {
  const giveUpAt = clock.now() + LONGEST_BUSY_MS;
  while (clock.now() < giveUpAt && (await server.isBusy(unit, signal))) {
    await clock.sleep(LOOK_AGAIN_MS, signal);
  }
}

function staysDown(unit: InstanceUnit, cause: unknown): AgentError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new AgentError("instance.down", `Cannot start ${unitLabel(unit)} again after its snapshot: ${why}`, {
    cause,
    hint: `start it by hand (incus start ${unit.name} --project ${unit.project}); the next run tries it too`,
  });
}
