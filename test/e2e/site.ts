import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Shell } from "../../src/cli/command.ts";
import { connect } from "../../src/cli/connect.ts";
import { openHost } from "../../src/cli/open-host.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import type { Log } from "../../src/model/ports.ts";
import type { ClientIdentity } from "../../src/model/trust-ports.ts";
import { clientCertificate } from "../../src/onboard/client-certificate.ts";
import { pinPath, writeIdentity } from "../../src/onboard/credentials.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemFiles } from "../../src/system/files.ts";
import { keyPairs } from "../../src/system/key-pairs.ts";
import { systemLocks } from "../../src/system/lock.ts";
import { systemProcesses } from "../../src/system/processes.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { type Daemon, type Generation, type LabDaemon, openLab } from "../lab/lab.ts";
import { removeTrust, trustCertificate } from "../lab/trust.ts";
import { type AgentProcess, startAgent } from "./agent-process.ts";

/** A machine with the agent on it: its folder, its credentials, and the two servers that trust it. */
export type Site<D extends Daemon = LabDaemon> = {
  readonly source: D;
  readonly target: D;
  readonly folder: string;
  readonly configPath: string;
  /** Writes config.json: both hosts and the credentials are filled in. */
  writeConfig(config: Readonly<Record<string, unknown>>): Promise<void>;
  /** Runs a command line in this process. */
  iab(argv: readonly string[], options?: { readonly signal?: AbortSignal; readonly log?: Log }): Promise<Ended>;
  /** Starts a command line as a process of its own: the bundle that `buildAgent()` made. */
  start(argv: readonly string[]): AgentProcess;
  close(): Promise<void>;
};

export type Ended = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

type Options = {
  /** Where the servers are reached, if not at their own addresses. */
  readonly urls?: { readonly source?: string; readonly target?: string };
  /** The projects that the agent's certificate is confined to on each side. */
  readonly projects?: Readonly<Record<"source" | "target", readonly string[]>>;
  readonly environment?: Readonly<Record<string, string>>;
};

/** Builds the program that `start()` runs. */
export async function buildAgent(): Promise<void> {
  await promisify(execFile)(process.execPath, ["build.mjs"]);
}

/** Sets the agent up between the two servers of a generation. */
export function openSite(generation: Generation, options: Options = {}): Promise<Site> {
  return openSiteBetween(openLab().incus[generation], options);
}

/** Sets the agent up between two servers, wherever they are. */
export async function openSiteBetween<D extends Daemon>(
  { source, target }: { readonly source: D; readonly target: D },
  { urls = {}, projects, environment = {} }: Options = {},
): Promise<Site<D>> {
  const folder = await mkdtemp(join(tmpdir(), "iab-site-"));
  const identity = await newIdentity();
  await writeIdentity(folder, identity, systemFiles);
  const at = { source: urls.source ?? source.url, target: urls.target ?? target.url };
  for (const daemon of [source, target]) {
    const confined = projects === undefined ? {} : { projects: projects[daemon.side] };
    await trustCertificate(daemon, identity.certificate, { name: "site", ...confined });
    const pin = await readFile(daemon.certificate, "utf8");
    await systemFiles.writePrivate(pinPath(folder, at[daemon.side]), pin);
  }
  const configPath = join(folder, "config.json");
  return {
    source,
    target,
    folder,
    configPath,
    writeConfig: async ({ iab = {}, ...config }) => {
      const hosts = [
        { name: "one", role: "source", url: at.source },
        { name: "two", role: "target", url: at.target },
      ];
      const whole = { ...config, iab: { iabCredDir: ".", ...(iab as object) }, hosts };
      await writeFile(configPath, JSON.stringify(whole, undefined, 2));
    },
    iab: (argv, options = {}) => runHere([...argv, "--config", configPath], { ...options, environment }),
    start: (argv) => startAgent([...argv, "--config", configPath], { environment }),
    close: async () => {
      for (const daemon of [source, target]) await removeTrust(daemon, identity.certificate);
      await rm(folder, { recursive: true });
    },
  };
}

async function newIdentity(): Promise<ClientIdentity> {
  const { publicKey, privateKey } = await keyPairs.generate();
  const serial = Date.now().toString(16);
  const keys = { publicKey, privateKey: privateKey.reveal() };
  return { certificate: clientCertificate(keys, Date.now(), serial), key: privateKey };
}

type Running = { readonly signal?: AbortSignal; readonly log?: Log; readonly environment: Record<string, string> };

async function runHere(argv: readonly string[], options: Running): Promise<Ended> {
  const printed: string[] = [];
  const errors: string[] = [];
  const world = memoryWorld();
  const shell: Shell = {
    connect,
    openHost,
    open: () => ({
      ...world,
      clock: systemClock,
      files: systemFiles,
      locks: systemLocks,
      processes: systemProcesses(),
      environment: options.environment,
      log: options.log ?? world.log,
      signal: options.signal ?? world.signal,
      print: (text) => void printed.push(text),
    }),
    print: (text) => void printed.push(text),
    printError: (text) => void errors.push(text),
  };
  const exitCode = await runCli(argv, shell);
  return { exitCode, stdout: printed.join("\n"), stderr: errors.join("\n") };
}
