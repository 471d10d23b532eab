import { readFileSync } from "node:fs";
import type { RelayWork } from "../../bench/relay-process.ts";
import { openCopier } from "../../src/incus/copy.ts";
import { removeHalfSnapshots } from "../../src/incus/half-snapshots.ts";
import { type IncusServer, openServer, type ServerOptions } from "../../src/incus/server.ts";
import type { Copy, KeptSnapshot, Progress } from "../../src/model/copy.ts";
import type { Mode, Side } from "../../src/model/job.ts";
import type { Servers } from "../../src/model/ports.ts";
import { Secret } from "../../src/model/secret.ts";
import type { Unit } from "../../src/model/unit.ts";
import { systemClock } from "../../src/system/clock.ts";
import { makeCertificate } from "../incus/certificates.ts";
import { call } from "../lab/daemon-api.ts";
import type { Daemon, LabDaemon } from "../lab/lab.ts";
import { openScratch } from "../lab/scratch.ts";
import { removeTrust, trustCertificate } from "../lab/trust.ts";

/** Two daemons, a project of the test's own on both, and the agent's servers over them. */
export type CopyLab<D extends Daemon = LabDaemon> = {
  readonly source: D;
  readonly target: D;
  readonly project: string;
  readonly servers: Servers;
  /** A copy between the two as a process of its own is told of it. */
  work(copy: Copy): RelayWork;
  close(): Promise<void>;
};

export type CopyLabOptions = {
  /** Other ways to the daemons than their own addresses. */
  readonly sourceUrl?: string;
  readonly targetUrl?: string;
  readonly bytesPerSecond?: () => number | undefined;
  /** Stands between the agent and its servers. */
  readonly through?: (side: Side, server: IncusServer) => IncusServer;
  /** How long an operation may be silent; for machines that are slower than this one. */
  readonly operationTimeoutMs?: number;
};

export async function openCopyLab<D extends Daemon>(
  source: D,
  target: D,
  options: CopyLabOptions = {},
): Promise<CopyLab<D>> {
  const client = makeCertificate({ name: "iab-test" });
  const scratch = await openScratch(source, target);
  for (const daemon of [source, target]) await trustCertificate(daemon, client.certificate, { name: "iab-test" });
  const patience = { operationTimeoutMs: options.operationTimeoutMs ?? 60_000 };
  const { through = (_, server) => server, bytesPerSecond = () => undefined } = options;
  const ends = {
    source: through(
      "source",
      openServer({ ...optionsOf(source, client, options.sourceUrl ?? source.url), ...patience }),
    ),
    target: through(
      "target",
      openServer({ ...optionsOf(target, client, options.targetUrl ?? target.url), ...patience }),
    ),
  };
  const servers: Servers = {
    ...ends,
    copy: openCopier(ends, { clock: systemClock, bytesPerSecond }),
    mend: (copy, names, signal) => removeHalfSnapshots(ends, { copy, names }, systemClock, signal),
    async close() {
      await Promise.all([ends.source.close(), ends.target.close()]);
    },
  };
  return {
    source,
    target,
    project: scratch.project,
    servers,
    work: (copy) => ({ ...client, source: hostOf(source), target: hostOf(target), copy }),
    async close() {
      await servers.close();
      for (const daemon of [source, target]) await removeTrust(daemon, client.certificate);
      await scratch.close();
    },
  };
}

function hostOf(daemon: Daemon): RelayWork["source"] {
  return {
    host: `${daemon.generation}-${daemon.side}`,
    url: daemon.url,
    pin: readFileSync(daemon.certificate, "utf8"),
  };
}

function optionsOf(
  daemon: Daemon,
  client: { certificate: string; key: string },
  url: string,
): Omit<ServerOptions, "operationTimeoutMs"> {
  const pin = readFileSync(daemon.certificate, "utf8");
  const credentials = { certificate: client.certificate, key: new Secret(client.key), pin };
  return {
    host: `${daemon.generation}-${daemon.side}`,
    url,
    credentials,
    clock: systemClock,
  };
}

/** A unit's snapshots as a daemon lists them, oldest first. */
export async function snapshotsOf(
  daemon: Daemon,
  unit: Unit,
): Promise<{ name: string; createdAt: number; createdAtExact: string }[]> {
  const path =
    unit.kind === "instance"
      ? `/1.0/instances/${unit.name}/snapshots`
      : `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}/snapshots`;
  const listed = (await call(daemon, "GET", `${path}?recursion=1&project=${unit.project}`)) as {
    name: string;
    created_at: string;
  }[];
  return listed
    .map(({ name, created_at }) => ({
      name: name.split("/").at(-1) ?? "",
      createdAt: Date.parse(created_at),
      createdAtExact: created_at,
    }))
    .sort((a, b) => a.createdAt - b.createdAt);
}

/** A copy of a unit to the same name in a pool of the target. */
export function copyOf(mode: Mode, unit: Unit, pool: string, contentType: "filesystem" | "block" = "filesystem"): Copy {
  const common = {
    mode,
    member: undefined,
    allowInconsistent: false,
    keep: [] as KeptSnapshot[],
    sends: undefined,
    bytesPerSecond: undefined,
  };
  if (unit.kind === "volume") {
    const create = { contentType, description: "", config: {} };
    return { ...common, kind: "volume", source: unit, target: { ...unit, pool }, create };
  }
  const create = {
    type: "container" as const,
    architecture: "x86_64",
    description: "",
    config: { "boot.autostart": "false" },
    devices: { root: { type: "disk", path: "/", pool } },
    profiles: ["default"],
  };
  return { ...common, kind: "instance", source: unit, target: unit, create };
}

export function ignore(_: Progress): void {}
