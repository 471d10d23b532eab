import type { Shell } from "../../src/cli/command.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import { type MemoryServers, memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { type MemoryWorld, memoryWorld } from "../fakes/world/memory-world.ts";

export type Ended = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

/** Runs a whole command line in this process, in the given world and between the given servers. */
export async function iab(
  argv: readonly string[],
  world: MemoryWorld = memoryWorld(),
  both: MemoryServers = memoryServers(world.clock),
): Promise<Ended> {
  const printed: string[] = [];
  const errors: string[] = [];
  const to = (lines: string[]) => (text: string) => void lines.push(text.replace(/\n$/, ""));
  const shell: Shell = {
    open: () => ({ ...world, print: to(printed) }),
    connect: async () => both.connect(),
    print: to(printed),
    printError: to(errors),
  };
  const exitCode = await runCli(argv, shell);
  return { exitCode, stdout: printed.join("\n"), stderr: errors.join("\n") };
}
