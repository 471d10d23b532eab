import { exportReader } from "../export/export-reader.ts";
import { readHostWindows } from "../incus/host-windows.ts";
import { AgentError } from "../model/errors.ts";
import { connectTo } from "./connect.ts";
import type { OpenHost } from "./offsite-host.ts";

/** Opens one of the two servers of a configuration, by its pinned certificate. */
export const openHost: OpenHost = async (side, config, configPath, world) => {
  const server = await connectTo(side, config, configPath, world);
  return {
    server,
    windows: (signal) => readHostWindows(server.connection, signal),
    reader: ({ read }) => {
      if (read === "export") return exportReader(server, world.clock);
      throw new AgentError("config.invalid", `Cannot read by ${read}: there is no reader of this kind yet`);
    },
    close: () => server.close(),
  };
};
