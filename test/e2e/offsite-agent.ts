import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OffsiteHost } from "../../src/cli/offsite-host.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import type { Clock, Reader } from "../../src/model/ports.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemFiles } from "../../src/system/files.ts";
import { systemLocks } from "../../src/system/lock.ts";
import { systemProcesses } from "../../src/system/processes.ts";
import { memoryHost } from "../cli/iab.ts";
import { type MemoryServers, memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { type LogLine, memoryWorld } from "../fakes/world/memory-world.ts";
import { openLab } from "../lab/lab.ts";
import type { Ended } from "./site.ts";

export type OffsiteAgent = {
  /** Where its configuration, its cache and Kopia's logs are. */
  readonly folder: string;
  readonly both: MemoryServers;
  readonly logged: LogLine[];
  writeConfig(offsite: object): void;
  iab(argv: readonly string[], options?: { readonly clock?: Clock; readonly signal?: AbortSignal }): Promise<Ended>;
  close(): void;
};

/** The agent with the real Kopia, files, processes and locks, between servers in memory that the given reader reads. */
export function openOffsiteAgent(reader: Reader): OffsiteAgent {
  const folder = mkdtempSync(join(tmpdir(), "iab-offsite-"));
  const world = memoryWorld({ environment: { HOME: folder, IAB_KOPIA: openLab().kopia().path } });
  const both = memoryServers(systemClock);
  const config = join(folder, "config.json");
  const openHost = async (side: "source" | "target"): Promise<OffsiteHost> => ({
    ...memoryHost(both, side),
    reader: () => reader,
  });
  return {
    folder,
    both,
    logged: world.logged,
    writeConfig: (offsite) => {
      const hosts = [
        { name: "prod", role: "source", url: "https://192.0.2.10:8443" },
        { name: "backup", role: "target", url: "https://192.0.2.11:8443" },
      ];
      const iab = { iabCredDir: folder };
      const cache = { directory: join(folder, "cache") };
      writeFileSync(config, JSON.stringify({ iab, hosts, projects: [], offsite: { cache, ...offsite } }));
    },
    iab: async (argv, { clock = systemClock, signal = world.signal } = {}) => {
      const printed: string[] = [];
      const errors: string[] = [];
      const real = { clock, files: systemFiles, locks: systemLocks, processes: systemProcesses(), signal };
      const exitCode = await runCli([...argv, "--config", config, "--log-level", "debug"], {
        open: () => ({ ...world, ...real, print: (text) => void printed.push(text) }),
        connect: async () => both.servers,
        openHost,
        print: (text) => void printed.push(text),
        printError: (text) => void errors.push(text),
      });
      return { exitCode, stdout: printed.join("\n"), stderr: errors.join("\n") };
    },
    close: () => rmSync(folder, { recursive: true }),
  };
}
