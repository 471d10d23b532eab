import { join } from "node:path";
import { exportReader } from "../export/export-reader.ts";
import { readHostWindows } from "../incus/host-windows.ts";
import type { IncusServer } from "../incus/server.ts";
import type { Reader, World } from "../model/ports.ts";
import type { ReadingPlace } from "../model/reading.ts";
import { btrfsReader } from "../storage/btrfs-reader.ts";
import { zfsReader } from "../storage/zfs-reader.ts";
import { systemDisks } from "../system/disks.ts";
import { connectTo } from "./connect.ts";
import type { OpenHost } from "./offsite-host.ts";

/** Opens one of the two servers of a configuration, by its pinned certificate. */
export const openHost: OpenHost = async (side, config, configPath, world) => {
  const server = await connectTo(side, config, configPath, world);
  return {
    server,
    windows: (signal) => readHostWindows(server.connection, signal),
    reader: (place) => readerOf(place, server, world),
    close: () => server.close(),
  };
};

function readerOf({ read, root }: ReadingPlace, server: IncusServer, world: World): Reader {
  const { files, processes, clock } = world;
  const options = { root, files, disks: systemDisks, processes, clock };
  switch (read) {
    case "zfs":
      return zfsReader({ ...options, mountFolder: mountFolder(world) });
    case "btrfs":
      return btrfsReader(options);
    case "export":
      return exportReader(server, clock);
  }
}

/** Where snapshots are mounted while they are read; systemd may name several folders, and the first is the unit's own. */
function mountFolder({ environment }: World): string {
  return join(environment["RUNTIME_DIRECTORY"]?.split(":")[0] ?? "/run/iab", "offsite");
}
