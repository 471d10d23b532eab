import type { UnitFiles } from "../model/export.ts";
import type { Server } from "../model/ports.ts";
import type { ServerFacts } from "../model/state.ts";
import { changesVia } from "./changes.ts";
import { type Connection, type ConnectionOptions, openConnection } from "./connection.ts";
import { readClock, readFacts } from "./facts.ts";
import { listHalfSnapshots } from "./half-snapshots.ts";
import * as listing from "./listing.ts";
import { type Operations, watchOperations } from "./operations.ts";
import { readRootConfig } from "./root-volume.ts";
import { unitFilesVia } from "./unit-files.ts";
import { readUsage } from "./usage.ts";

/** A server, and what copies between two of them are made over. */
export type IncusServer = Server &
  UnitFiles & {
    readonly connection: Connection;
    readonly operations: Operations;
    close(): Promise<void>;
  };

export type ServerOptions = ConnectionOptions & {
  /** An operation that has not moved for so long is given up. */
  readonly operationTimeoutMs: number;
};

/** One Incus server. Nothing is sent before it is first asked something. */
export function openServer(options: ServerOptions): IncusServer {
  const connection = openConnection(options);
  const operations = watchOperations(connection, options.clock, options.operationTimeoutMs);
  const facts = once((signal) => readFacts(connection, signal));
  const pools: Server["pools"] = async (likely, signal) => {
    const { can, restricted } = await facts(signal);
    if (restricted && !can.listPoolsRestricted) return listing.findPools(connection, likely, signal);
    return listing.listPools(connection, signal);
  };
  const instance: Server["instance"] = (unit, signal) => listing.readInstance(connection, unit, signal);
  const via = { connection, operations, clock: options.clock };
  return {
    connection,
    operations,
    facts,
    pools,
    instance,
    usage: (unit, signal) => readUsage({ connection, pools, instance }, unit, signal),
    clock: (signal) => readClock(connection, signal),
    space: (pool, signal) => listing.readSpace(connection, pool, signal),
    async members(signal) {
      return (await facts(signal)).clustered ? listing.listMembers(connection, signal) : [];
    },
    projects: (signal) => listing.listProjects(connection, signal),
    instances: (signal) => listing.listInstances(connection, signal),
    async volumes(pools, signal) {
      return listing.listVolumes(connection, pools, await facts(signal), signal);
    },
    networks: (signal) => listing.listNetworks(connection, signal),
    profiles: (signal) => listing.listProfiles(connection, signal),
    snapshots: (unit, signal) => listing.listSnapshots(connection, unit, signal),
    describe: (unit, signal) => listing.describe(connection, unit, signal),
    rootConfig: (volume, signal) => readRootConfig(connection, volume, signal),
    halfSnapshots: (volume, signal) => listHalfSnapshots(connection, volume, signal),
    config: (unit, signal) => listing.readConfig(connection, unit, signal),
    busy: (signal) => listing.listBusy(connection, signal),
    isBusy: (unit, signal) => listing.isBusy(connection, unit, signal),
    ...changesVia(via),
    ...unitFilesVia(via, facts),
    async close() {
      operations.close();
      await connection.close();
    },
  };
}

/** Who a server is does not change in a run. A reading that failed is made again. */
function once(read: (signal: AbortSignal) => Promise<ServerFacts>): (signal: AbortSignal) => Promise<ServerFacts> {
  let known: ServerFacts | undefined;
  return async (signal) => {
    known ??= await read(signal);
    return known;
  };
}
