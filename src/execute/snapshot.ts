import { AgentError } from "../model/errors.ts";
import { MARKS } from "../model/marks.ts";
import type { SnapshotStep } from "../model/plan.ts";
import type { Instance } from "../model/state.ts";
import { SECOND_MS } from "../model/time.ts";
import { type InstanceUnit, unitId, unitLabel } from "../model/unit.ts";
import type { Tools } from "./act-on.ts";
import { startAgain } from "./start-again.ts";

// What Incus itself waits for an instance when its host shuts down, unless the instance says otherwise.
const SHUTDOWN_TIMEOUT_MS = 30 * SECOND_MS;
const LAST_CHANCE_MS = SECOND_MS;
const ANSWER_MARGIN_MS = 30 * SECOND_MS;

/** Takes a snapshot; where the step says so, of an instance that is stopped for it and started again at once. */
export async function takeSnapshot(step: SnapshotStep, tools: Tools, signal: AbortSignal): Promise<void> {
  const { unit, name, notBefore } = step;
  if (notBefore !== undefined) await tools.clock.sleep(Math.max(0, notBefore - tools.clock.now()), signal);
  const work = () => tools.servers.source.createSnapshot(unit, name, signal);
  const running = step.stop && unit.kind === "instance" ? await toBeStopped(unit, tools, signal) : undefined;
  await (running === undefined ? work() : whileStopped(running, tools, work, signal));
}

// A stopped or crashed instance stands still already, a frozen one too, and it was a person who froze it.
async function toBeStopped(unit: InstanceUnit, tools: Tools, signal: AbortSignal): Promise<Instance | undefined> {
  const { servers, log } = tools;
  const instance = await servers.source.instance(unit, signal);
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

async function whileStopped(
  unit: Instance,
  tools: Tools,
  work: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { source } = tools.servers;
  try {
    // The mark comes first: whenever this process dies, the next run knows what to start.
    await source.patchConfig(unit, { [MARKS.stopped]: tools.run }, signal);
    await stop(unit, tools);
    signal.throwIfAborted();
    await work();
  } finally {
    await startAgain(unit, tools);
  }
}

// Not to be cancelled: a stop that is under way ends some time, and nobody would be there to start the instance.
async function stop(unit: Instance, { servers: { source }, log }: Tools): Promise<void> {
  const timeoutMs = shutdownTimeoutMs(unit);
  const asked = source.changeState(unit, "stop", { timeoutMs, force: false }, within(timeoutMs));
  const [{ status }] = await Promise.allSettled([asked]);
  if (status === "fulfilled" || (await source.instance(unit, within(0)))?.status === "Stopped") return;
  log.warn("instance.stopped-hard", { unit: unitId(unit), why: `it did not stop within ${timeoutMs / SECOND_MS} s` });
  await source.changeState(unit, "stop", { timeoutMs: LAST_CHANCE_MS, force: true }, within(LAST_CHANCE_MS));
}

function shutdownTimeoutMs({ expandedConfig }: Instance): number {
  const seconds = Number(expandedConfig["boot.host_shutdown_timeout"]);
  return seconds > 0 ? seconds * SECOND_MS : SHUTDOWN_TIMEOUT_MS;
}

function within(timeoutMs: number): AbortSignal {
  return AbortSignal.timeout(timeoutMs + ANSWER_MARGIN_MS);
}
