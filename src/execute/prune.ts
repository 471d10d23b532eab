import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import type { PruneStep } from "../model/plan.ts";
import type { Server } from "../model/ports.ts";
import { unitLabel } from "../model/unit.ts";
import type { Done } from "./execute-plan.ts";

/** Deletes what the plan says, in its order; on a mirror only what the source has really lost. */
export async function prune(
  step: PruneStep,
  servers: Readonly<Record<Side, Server>>,
  signal: AbortSignal,
): Promise<Done> {
  const server = servers[step.side];
  const still = step.onlyIfGoneFrom && (await namesOf(servers.source, step.onlyIfGoneFrom, signal));
  const names = step.removals.map(({ name }) => name).filter((name) => !still?.has(name));
  const failures = new Map<string, unknown>();
  for (const name of names) {
    signal.throwIfAborted();
    // One that cannot be deleted is no reason to keep the others.
    const [deleted] = await Promise.allSettled([deleteOnce(server, step, name, signal)]);
    if (deleted.status === "rejected") failures.set(name, deleted.reason);
  }
  signal.throwIfAborted();
  if (failures.size > 0) throw notDeleted(step, failures);
  return { removed: names };
}

async function deleteOnce(server: Server, step: PruneStep, name: string, signal: AbortSignal): Promise<void> {
  try {
    await server.deleteSnapshot(step.unit, name, signal);
  } catch (error) {
    // Gone already, as it should be.
    if (error instanceof IncusRefusal && error.status === 404) return;
    // A server that undoes a failed transfer may be faster, and then says in words of its own that it is not there.
    if (!hasFailed(error) || (await namesOf(server, step.unit, signal)).has(name)) throw error;
  }
}

function hasFailed(error: unknown): boolean {
  return error instanceof AgentError && error.code === "incus.operation-failed";
}

async function namesOf(server: Server, unit: PruneStep["unit"], signal: AbortSignal): Promise<Set<string>> {
  return new Set((await server.snapshots(unit, signal)).map(({ name }) => name));
}

function notDeleted(step: PruneStep, failures: ReadonlyMap<string, unknown>): AgentError {
  const [cause] = failures.values();
  const names = [...failures.keys()].join(", ");
  const why = cause instanceof Error ? cause.message : String(cause);
  const of = `${unitLabel(step.unit)} on the ${step.side}`;
  return new AgentError("incus.operation-failed", `Cannot delete ${names} of ${of}: ${why}`, { cause });
}
