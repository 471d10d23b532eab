import { dirname, resolve } from "node:path";
import type { Config } from "../config/config.ts";
import { type IncusServer, openServer, type ServerOptions } from "../incus/server.ts";
import { openServers } from "../incus/servers.ts";
import type { Side } from "../model/job.ts";
import type { Servers, World } from "../model/ports.ts";
import { readCredentials } from "../onboard/credentials.ts";
import { rateAt } from "./rate-at.ts";

/** Both servers of the configuration, each by its pinned certificate. Nothing is sent before they are asked something. */
export async function connect(config: Config, configPath: string, world: World): Promise<Servers> {
  const folder = folderOf(config, configPath);
  const { clock } = world;
  return openServers({
    source: await serverOptions("source", config, folder, world),
    target: await serverOptions("target", config, folder, world),
    clock,
    bytesPerSecond: () => rateAt(config.bandwidthLimit, clock.now()),
  });
}

/** One of the two servers by itself. */
export async function connectTo(side: Side, config: Config, configPath: string, world: World): Promise<IncusServer> {
  return openServer(await serverOptions(side, config, folderOf(config, configPath), world));
}

function folderOf({ credentialsFolder }: Config, configPath: string): string {
  return resolve(dirname(configPath), credentialsFolder);
}

async function serverOptions(side: Side, config: Config, folder: string, world: World): Promise<ServerOptions> {
  const { name, url } = config.hosts[side];
  const { identity, pin } = await readCredentials(folder, url, world.files, world.signal);
  return {
    host: name,
    url,
    credentials: { ...identity, pin },
    clock: world.clock,
    operationTimeoutMs: config.operationTimeoutMs,
  };
}
