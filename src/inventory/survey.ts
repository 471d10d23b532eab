import type { ServerReader, Servers } from "../model/ports.ts";
import type { ServerState, State } from "../model/state.ts";

/** Looks at both servers at once. The number of requests does not grow with the number of workloads. */
export async function survey(servers: Pick<Servers, "source" | "target">, signal: AbortSignal): Promise<State> {
  const [source, target] = await Promise.all([
    surveyServer(servers.source, signal),
    surveyServer(servers.target, signal),
  ]);
  return { source, target };
}

async function surveyServer(server: ServerReader, signal: AbortSignal): Promise<ServerState> {
  const [facts, projects, instances, networks, profiles, { pools, volumes }] = await Promise.all([
    server.facts(signal),
    server.projects(signal),
    server.instances(signal),
    server.networks(signal),
    server.profiles(signal),
    poolsWithVolumes(server, signal),
  ]);
  return { facts, projects, pools, networks, profiles, instances, volumes };
}

async function poolsWithVolumes(
  server: ServerReader,
  signal: AbortSignal,
): Promise<Pick<ServerState, "pools" | "volumes">> {
  const pools = await server.pools(signal);
  const names = pools.map(({ name }) => name);
  return { pools, volumes: await server.volumes(names, signal) };
}
