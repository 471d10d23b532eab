import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { VolumeUnit } from "../../src/model/unit.ts";
import { PASSWORD } from "../contract/kopia-lab.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, type LabDaemon, openLab } from "../lab/lab.ts";
import { openS3Server } from "../lab/s3-server.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, orphanSubvolumes } from "../lab/storage.ts";
import { openTcpProxy, type TcpProxy } from "../lab/tcp-proxy.ts";
import { createInstance, createVolume, startInstance } from "../lab/workloads.ts";
import type { AgentProcess } from "./agent-process.ts";
import { type BtrfsPool, openBtrfsPool } from "./btrfs-pool.ts";
import { ownerWithFirstTurn } from "./first-turn.ts";
import { snapshotNames } from "./ledger.ts";
import { buildAgent, openSite, type Site } from "./site.ts";
import { blackHole, FAULTS, type Fault, IDLE } from "./storage-faults.ts";

const MIB = 1024 * 1024;
const SIZE = 40 * MIB;
describe.each(GENERATIONS)("iab offsite run on Incus %s, where", (generation) => {
  const { source } = openLab().incus[generation];
  const pool = source.pools.btrfs;
  let storage: BtrfsPool;
  let scratch: Scratch;
  const units = new Map<Fault, VolumeUnit>();

  beforeAll(async () => {
    const server = createServer(() => {}).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    Object.assign(blackHole, { port: typeof address === "object" ? address?.port : 0, close: () => server.close() });
    await buildAgent();
    storage = await openBtrfsPool(source, pool);
    scratch = await openScratch(source);
    const { project } = scratch;
    for (const [at, fault] of FAULTS.entries()) {
      const sizeBytes = fault.hasBackup || fault.during === undefined ? MIB : SIZE;
      units.set(fault, await createVolume(source, { project, pool, name: `v${at}`, seed: `v${at}`, sizeBytes }));
    }
    // What runs is read from a snapshot, and by `export` from a copy of it.
    const devices = Object.fromEntries(
      [...units.values()].map(({ name }) => [name, { type: "disk", pool, source: name, path: `/${name}` }]),
    );
    await startInstance(source, await createInstance(source, { project, name: "user", pool, devices }));
  });

  afterAll(async () => {
    await scratch?.close();
    await storage?.close();
    blackHole.close();
  });

  test.concurrent.each(FAULTS)(
    "$name: an error with its remedy, nothing left, and the next run heals",
    async (fault) => {
      const unit = units.get(fault);
      if (unit === undefined) throw new Error("There is no volume");
      const s3 = await openS3Server();
      const proxy = await openTcpProxy({ host: "127.0.0.1", port: s3.port });
      const home = mkdtempSync(join(tmpdir(), "iab-fault-"));
      const environment = { HOME: home, PATH: storage.path, IAB_KOPIA: openLab().kopia().path };
      const site = await openSite(generation, { environment });
      const leftNothing = () => expectNothingLeft({ site, home, unit, secrets: [PASSWORD, s3.secretKey] });
      try {
        const stage = { s3, proxy };
        const right = () => configOf(fault, unit, s3.block({ port: proxy.port }));
        await (fault.before ?? (() => s3.start()))(stage);
        await site.writeConfig(right());
        if (fault.hasBackup) {
          expect(await site.start(["offsite", "run"]).ended).toMatchObject({ exitCode: 0 });
          await changeContent(source, unit, "grown", SIZE);
        }
        const limits = {
          idle_timeout: fault.idle ?? IDLE,
          ...(fault.during === undefined ? {} : { upload_limit: "8MiB/s" }),
        };
        const { offsite } = right();
        await site.writeConfig({ projects: [], offsite: { ...offsite, ...limits, ...fault.wrong?.(stage) } });
        const run = site.start(["offsite", "run"]);
        if (fault.during !== undefined) {
          await underWay(proxy, run);
          await fault.during(stage);
        }
        const struckAt = Date.now();
        const { exitCode, stdout, stderr } = await run.ended;
        const said = stdout + stderr;
        expect(exitCode, said).toBe(6);
        expect(said).toMatch(fault.says);
        expect(said.replace(/\s+/g, " ")).toMatch(fault.hint);
        expect((Date.now() - struckAt) / 1000).toBeLessThan(fault.withinSeconds);
        await leftNothing();

        await fault.heal?.(stage);
        proxy.heal();
        await site.writeConfig(right());
        const next = await site.start(["offsite", "run"]).ended;
        expect(next.exitCode, next.stdout + next.stderr).toBe(0);
        await leftNothing();
        if (fault.during === undefined) return;
        expect(await site.start(["offsite", "verify", "--percent", "100"]).ended).toMatchObject({ exitCode: 0 });
      } finally {
        await site.close();
        await proxy.close();
        await s3.close();
        rmSync(home, { recursive: true });
      }
    },
  );

  test("nothing of ours is on the server in the end, nor in the pool", async () => {
    const names = await call(source, "GET", `/1.0/storage-pools/${pool}/volumes/custom?project=${scratch.project}`);
    expect(JSON.stringify(names)).not.toContain("offsite-");
    expect(await orphanSubvolumes(source, pool)).toEqual([]);
    expect(readdirSync(storage.root).filter((name) => name.startsWith("."))).toEqual([]);
  });

  function configOf({ read }: Fault, unit: VolumeUnit, backend: object) {
    const root = read === "btrfs" ? { root: storage.root } : {};
    return {
      projects: [],
      offsite: {
        repository_password: PASSWORD,
        backend,
        create: true,
        ...ownerWithFirstTurn(`faults-${generation.replace(".", "-")}-${unit.name}`),
        sources: [{ read, ...root, volumes: [`${unit.project}/${pool}/${unit.name}`] }],
      },
    };
  }

  /** Of one fault: its processes, its secrets, what it made on the server. */
  async function expectNothingLeft({ site, home, unit, secrets }: Left): Promise<void> {
    expect(processesOf(home, site.folder)).toEqual([]);
    for (const path of filesIn(home)) {
      const text = readFileSync(path, "latin1");
      for (const secret of secrets) expect(text.includes(secret), path).toBe(false);
    }
    expect(await snapshotNames(source, unit)).toEqual([]);
    expect(await backupsOf(source, unit)).toEqual([]);
  }
});

type Left = {
  readonly site: Site;
  readonly home: string;
  readonly unit: VolumeUnit;
  readonly secrets: readonly string[];
};

/** Waits until part of the volume is on its way to the storage. */
async function underWay(proxy: TcpProxy, run: AgentProcess): Promise<void> {
  let isOver = false;
  void run.ended.then(() => {
    isOver = true;
  });
  while (proxy.bytes("to-server") < 12 * MIB) {
    if (isOver) throw new Error(`The run has ended too soon: ${JSON.stringify(await run.ended)}`);
    await setTimeout(50);
  }
}

/** The processes of this machine in whose command line one of the folders stands. */
function processesOf(...folders: string[]): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(commandLineOf)
    .filter((line) => folders.some((folder) => line.includes(folder)));
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // It has just ended.
    return "";
  }
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

async function backupsOf(source: LabDaemon, { project, pool, name }: VolumeUnit): Promise<unknown> {
  return call(source, "GET", `/1.0/storage-pools/${pool}/volumes/custom/${name}/backups?project=${project}`);
}
