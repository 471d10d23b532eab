import type { Config } from "../config/config.ts";
import type { OffsiteTools } from "../execute/execute-offsite.ts";
import type { Side } from "../model/job.ts";
import type { OffsitePlan } from "../model/offsite-plan.ts";
import type { Archive, Reader, World } from "../model/ports.ts";
import type { ReadingPlace } from "../model/reading.ts";
import type { OffsiteHost } from "./offsite-host.ts";
import { workloadLockName } from "./workload-locks.ts";

type Given = {
  readonly context: { readonly world: World };
  readonly config: Config;
  readonly host: (side: Side) => Promise<OffsiteHost>;
};

/** What the steps of a plan are carried out with: a reader for each place, the servers, the locks. */
export async function toolsFor(
  plan: OffsitePlan,
  { context: { world }, config, host }: Given,
  archive: Archive,
): Promise<OffsiteTools> {
  const hosts = new Map<Side, OffsiteHost>();
  const readers = new Map<string, Reader>();
  for (const step of plan.steps) {
    if (!("place" in step)) continue;
    const { place } = step;
    const opened = hosts.get(place.host) ?? (await host(place.host));
    hosts.set(place.host, opened);
    if (!readers.has(keyOf(place))) readers.set(keyOf(place), opened.reader(place));
  }
  return {
    archive,
    clock: world.clock,
    log: world.log,
    reader: (place) => found(readers.get(keyOf(place))),
    server: (side) => found(hosts.get(side)).server,
    lock: (place, unit) => world.locks.take(workloadLockName(config.hosts[place.host].url, unit), () => ""),
  };
}

function keyOf({ read, host, root }: ReadingPlace): string {
  return [read, host, root].join(" ");
}

function found<T>(each: T | undefined): T {
  if (each === undefined) throw new Error("A step is in a place that the plan does not know");
  return each;
}
