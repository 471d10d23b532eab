import { HOUR_MS } from "../../src/model/time.ts";
import type { InstanceUnit, VolumeUnit } from "../../src/model/unit.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { iab } from "./iab.ts";

export const web: InstanceUnit = { kind: "instance", project: "default", name: "web1" };
export const db: InstanceUnit = { kind: "instance", project: "default", name: "db1" };
export const data: VolumeUnit = { kind: "volume", project: "default", pool: "local", name: "data" };

export const CONFIG = {
  iab: { iabCredDir: "/etc/iab/credentials" },
  hosts: [
    { name: "prod", role: "source", url: "https://192.0.2.10:8443" },
    { name: "backup", role: "target", url: "https://192.0.2.11:8443" },
  ],
  projects: [
    {
      name: "default",
      mode: "pull",
      instances: [{ name: "web1", stop: true }, { name: "db1" }],
      volumes: [{ name: "data", storage: "local" }],
    },
  ],
  retention: { hosts: { source: { default: "2" } } },
};

/** A source with two instances, one of them running and using a volume, an empty target, and a configuration. */
export function stage(config: unknown = CONFIG) {
  const world = memoryWorld({ files: { "./config.json": JSON.stringify(config) } });
  const both = memoryServers(world.clock);
  const disk = { type: "disk", path: "/data", pool: "local", source: "data" };
  const root = { type: "disk", path: "/", pool: "local" };
  both.source.add(data, { content: "data-0" });
  both.source.add(web, { content: "web1-0", status: "Running", devices: { root, data: disk } });
  both.source.add(db, { content: "db1-0" });
  const later = (spanMs = HOUR_MS) => world.moveTo(world.clock.now() + spanMs);
  return { world, both, later, run: (...argv: string[]) => iab(argv, world, both) };
}
