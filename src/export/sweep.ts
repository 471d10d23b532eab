import type { Server } from "../model/ports.ts";
import type { Workload } from "../model/state.ts";
import { type Unit, unitLabel } from "../model/unit.ts";
import { isCopyOf, isRunName, isSnapshotOf } from "./traces.ts";

type Sweeping = Pick<Server, "instances" | "pools" | "volumes" | "snapshots" | "deleteSnapshot" | "remove">;

/** Removes the copies and snapshots that the owner's runs have left when they died, and says what they were. */
export async function sweep(server: Sweeping, owner: string, signal: AbortSignal): Promise<readonly string[]> {
  const swept: string[] = [];
  for (const workload of await workloadsOn(server, signal)) {
    const unit = unitOf(workload);
    if (isCopyOf(owner, workload)) {
      await server.remove(unit, signal);
      swept.push(`copy ${unitLabel(unit)}`);
      continue;
    }
    if (!workload.snapshots.some(({ name }) => isRunName(name))) continue;
    // Not every list says when a snapshot goes, which is what tells whose it is.
    for (const snapshot of await server.snapshots(unit, signal)) {
      if (!isSnapshotOf(owner, snapshot)) continue;
      await server.deleteSnapshot(unit, snapshot.name, signal);
      swept.push(`snapshot ${snapshot.name} of ${unitLabel(unit)}`);
    }
  }
  return swept;
}

async function workloadsOn(server: Sweeping, signal: AbortSignal): Promise<readonly Workload[]> {
  const [instances, pools] = await Promise.all([server.instances(signal), server.pools([], signal)]);
  const names = pools.map(({ name }) => name);
  return [...instances, ...(await server.volumes(names, signal))];
}

function unitOf(workload: Workload): Unit {
  const { project, name } = workload;
  if (workload.kind === "instance") return { kind: "instance", project, name };
  return { kind: "volume", project, pool: workload.pool, name };
}
