import type { Config } from "../config/config.ts";
import { parseConfig } from "../config/parse-config.ts";
import type { Servers } from "../model/ports.ts";
import type { Context } from "./command.ts";
import { findConfig } from "./find-config.ts";

/** Reads the configuration that was asked for, and works with its servers. */
export async function withConfiguredServers<T>(
  context: Context,
  work: (config: Config, servers: Servers) => Promise<T>,
): Promise<T> {
  const { globals, world } = context;
  const path = await findConfig(globals.config, world);
  const config = parseConfig(await world.files.read(path, world.signal));
  return withServers(config, path, context, (servers) => work(config, servers));
}

/** Works with both servers of the configuration, and ends all connections whatever happens. */
export async function withServers<T>(
  config: Config,
  path: string,
  { world, connect }: Context,
  work: (servers: Servers) => Promise<T>,
): Promise<T> {
  const servers = await connect(config, path, world);
  try {
    return await work(servers);
  } finally {
    await servers.close();
  }
}
