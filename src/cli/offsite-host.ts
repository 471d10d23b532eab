import type { Config } from "../config/config.ts";
import type { HostWindows } from "../incus/host-windows.ts";
import type { Side } from "../model/job.ts";
import type { Reader, Server, World } from "../model/ports.ts";
import type { ReadingPlace } from "../model/reading.ts";

/** A server whose workloads are backed up, and what only an offsite run wants of it. */
export type OffsiteHost = {
  readonly server: Server;
  /** The maintenance windows of a host that runs IncusOS. */
  windows(signal: AbortSignal): Promise<HostWindows>;
  /** Who reads in a place on this server. */
  reader(place: ReadingPlace): Reader;
  /** Ends all connections. */
  close(): Promise<void>;
};

/** Opens the way to one of the two servers of a configuration. Nothing is sent before it is asked something. */
export type OpenHost = (side: Side, config: Config, configPath: string, world: World) => Promise<OffsiteHost>;

/** Opens each server once, when it is first asked for; ends all connections whatever happens. */
export async function withHosts<T>(
  open: (side: Side) => Promise<OffsiteHost>,
  work: (host: (side: Side) => Promise<OffsiteHost>) => Promise<T>,
): Promise<T> {
  const hosts = new Map<Side, Promise<OffsiteHost>>();
  const host = (side: Side) => {
    const known = hosts.get(side) ?? open(side);
    hosts.set(side, known);
    return known;
  };
  try {
    return await work(host);
  } finally {
    const opened = await Promise.allSettled(hosts.values());
    await Promise.all(opened.map((each) => (each.status === "fulfilled" ? each.value.close() : undefined)));
  }
}
