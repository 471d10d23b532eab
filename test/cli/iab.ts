import type { Shell } from "../../src/cli/command.ts";
import type { OffsiteHost } from "../../src/cli/offsite-host.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import { AgentError } from "../../src/model/errors.ts";
import type { Side } from "../../src/model/job.ts";
import { type MemoryServers, memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { type MemoryWorld, memoryWorld } from "../fakes/world/memory-world.ts";

export type Ended = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

/** Runs a whole command line in this process, in the given world and between the given servers. */
export async function iab(
  argv: readonly string[],
  world: MemoryWorld = memoryWorld(),
  both: Pick<MemoryServers, "connect" | "servers"> = memoryServers(world.clock),
  host: (side: Side) => OffsiteHost = (side) => memoryHost(both, side),
): Promise<Ended> {
  const printed: string[] = [];
  const errors: string[] = [];
  const to = (lines: string[]) => (text: string) => void lines.push(text.replace(/\n$/, ""));
  const shell: Shell = {
    open: () => ({ ...world, print: to(printed) }),
    connect: async () => both.connect(),
    openHost: async (side) => host(side),
    print: to(printed),
    printError: to(errors),
  };
  const exitCode = await runCli(argv, shell);
  return { exitCode, stdout: printed.join("\n"), stderr: errors.join("\n") };
}

/** A server in memory without windows of its own, and with nothing that reads it. */
export function memoryHost(both: Pick<MemoryServers, "servers">, side: Side): OffsiteHost {
  return {
    server: both.servers[side],
    windows: async () => {
      throw new AgentError("window.unreadable", "Cannot read the maintenance windows: it does not run IncusOS");
    },
    reader: ({ read }) => {
      throw new Error(`There is no reader by ${read} in memory`);
    },
    close: async () => {},
  };
}
