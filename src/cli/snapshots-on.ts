import { AgentError } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import type { ServerReader } from "../model/ports.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Workload } from "../model/state.ts";
import { unitLabel } from "../model/unit.ts";
import { isMeant } from "../model/workload-name.ts";
import type { Context } from "./command.ts";
import { withConfiguredServers } from "./with-servers.ts";

/** The snapshots of one workload as a server of the configuration lists them, oldest first. */
export async function snapshotsOn(side: Side, typed: string, context: Context): Promise<readonly Snapshot[]> {
  return withConfiguredServers(context, async (config, servers) => {
    const all = await workloadsOn(servers[side], context.world.signal);
    const meant = all.filter((workload) => isMeant(workload, typed));
    const [workload, ...others] = meant;
    if (workload !== undefined && others.length === 0) return workload.snapshots;
    const host = config.hosts[side].name;
    const problem = workload === undefined ? `${host} has none` : `it may be ${meant.map(unitLabel).join(", ")}`;
    throw new AgentError("usage", `Cannot tell which workload ${typed} is: ${problem}`, {
      hint: "Name one as web1, project/web1, pool/volume or project/pool/volume",
    });
  });
}

async function workloadsOn(server: ServerReader, signal: AbortSignal): Promise<readonly Workload[]> {
  const [instances, pools] = await Promise.all([server.instances(signal), server.pools([], signal)]);
  const volumes = await server.volumes(
    pools.map(({ name }) => name),
    signal,
  );
  return [...instances, ...volumes];
}
