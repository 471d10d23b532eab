import { AgentError } from "../model/errors.ts";
import { MARKS } from "../model/marks.ts";
import type { Instance } from "../model/state.ts";
import { SECOND_MS } from "../model/time.ts";
import { type InstanceUnit, unitId, unitLabel } from "../model/unit.ts";
import type { StartTools } from "./start-again.ts";

// What Incus itself waits for an instance when its host shuts down, unless the instance says otherwise.
const SHUTDOWN_TIMEOUT_MS = 30 * SECOND_MS;
const LAST_CHANCE_MS = SECOND_MS;
const ANSWER_MARGIN_MS = 30 * SECOND_MS;

/** What instances of one server are stopped with; `run` is what their mark says. */
export type StopTools = StartTools & { readonly run: string };

/**
 * The instance as it is now, if it has to be stopped to stand still. A stopped or crashed one does already, a frozen one
 * too, and it was a person who froze it.
 */
export async function toBeStopped(
  unit: InstanceUnit,
  { server, log }: StopTools,
  signal: AbortSignal,
): Promise<Instance | undefined> {
  const instance = await server.instance(unit, signal);
  if (instance === undefined) throw new AgentError("incus.refused", `Cannot snapshot ${unitLabel(unit)}: it is gone`);
  switch (instance.status) {
    case "Stopped":
    case "Error":
      return undefined;
    case "Frozen":
      log.info("instance.not-stopped", { unit: unitId(unit), why: "it is frozen" });
      return undefined;
    case "Running":
      // Its server deletes it as soon as it stops.
      if (instance.ephemeral) log.warn("instance.not-stopped", { unit: unitId(unit), why: "it is ephemeral" });
      return instance.ephemeral ? undefined : instance;
    case "Other":
      throw new AgentError(
        "incus.refused",
        `Cannot stop ${unitLabel(unit)} for its snapshot: it is changing its state`,
        {
          hint: "the next run tries again",
        },
      );
  }
}

/** Stops an instance; whoever calls this starts it again, be it stopped or not. */
export async function stopFor(unit: Instance, tools: StopTools, signal: AbortSignal): Promise<void> {
  // The mark comes first: whenever this process dies, the next run knows what to start.
  await tools.server.patchConfig(unit, { [MARKS.stopped]: tools.run }, signal);
  await stop(unit, tools);
}

// Not to be cancelled: a stop that is under way ends some time, and nobody would be there to start the instance.
async function stop(unit: Instance, { server, log }: StopTools): Promise<void> {
  const timeoutMs = shutdownTimeoutMs(unit);
  const asked = server.changeState(unit, "stop", { timeoutMs, force: false }, within(timeoutMs));
  const [{ status }] = await Promise.allSettled([asked]);
  if (status === "fulfilled" || (await server.instance(unit, within(0)))?.status === "Stopped") return;
  log.warn("instance.stopped-hard", { unit: unitId(unit), why: `it did not stop within ${timeoutMs / SECOND_MS} s` });
  await server.changeState(unit, "stop", { timeoutMs: LAST_CHANCE_MS, force: true }, within(LAST_CHANCE_MS));
}

function shutdownTimeoutMs({ expandedConfig }: Instance): number {
  const seconds = Number(expandedConfig["boot.host_shutdown_timeout"]);
  return seconds > 0 ? seconds * SECOND_MS : SHUTDOWN_TIMEOUT_MS;
}

function within(timeoutMs: number): AbortSignal {
  return AbortSignal.timeout(timeoutMs + ANSWER_MARGIN_MS);
}
