import type { Servers } from "../model/ports.ts";
import { type CopierOptions, openCopier } from "./copy.ts";
import { removeHalfSnapshots } from "./half-snapshots.ts";
import { openServer, type ServerOptions } from "./server.ts";

export type ServersOptions = CopierOptions & {
  readonly source: ServerOptions;
  readonly target: ServerOptions;
};

/** Both servers of a run, and the way from one to the other. Nothing is sent before it is first asked for. */
export function openServers({ source, target, ...options }: ServersOptions): Servers {
  const ends = { source: openServer(source), target: openServer(target) };
  return {
    ...ends,
    copy: openCopier(ends, options),
    mend: (copy, names, signal) => removeHalfSnapshots(ends, { copy, names }, options.clock, signal),
    async close() {
      await Promise.all([ends.source.close(), ends.target.close()]);
    },
  };
}
