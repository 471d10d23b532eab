import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { PASSWORD, scratchFolder } from "../contract/kopia-lab.ts";
import { digestOf, writeBytes } from "../lab/content.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { contentPath, orphanSubvolumes } from "../lab/storage.ts";
import { createInstance, createVolume, deleteUnit, startInstance } from "../lab/workloads.ts";
import { ownerWithFirstTurn } from "./first-turn.ts";
import { snapshotNames } from "./ledger.ts";
import { buildAgent, openSite, type Site } from "./site.ts";

const MIB = 1024 * 1024;
const SIZE = 48 * MIB;
const CHANGE = 40 * MIB;

type Listed = { readonly id: string; readonly tags: Readonly<Record<string, string>>; readonly state: string };

describe.each(GENERATIONS)("Incus %s: iab offsite run by export, into a folder", (generation) => {
  let site: Site;
  let scratch: Scratch;
  let repository: string;
  let units: Unit[];

  beforeAll(async () => {
    const home = scratchFolderForAll();
    repository = scratchFolderForAll();
    await buildAgent();
    site = await openSite(generation, { environment: { HOME: home, IAB_KOPIA: openLab().kopia().path } });
    scratch = await openScratch(site.source);
    units = await fourWorkloads(site, scratch.project);
    await writeConfig({});
  });

  async function writeConfig(more: object): Promise<void> {
    const { btrfs } = site.source.pools;
    const { project } = scratch;
    await site.writeConfig({
      projects: [],
      offsite: {
        repository_password: PASSWORD,
        backend: { type: "filesystem", filesystem: { path: repository } },
        create: true,
        ...ownerWithFirstTurn(`lab-${generation.replace(".", "-")}`),
        sources: [{ read: "export", instances: [`${project}/*`], volumes: [`${project}/${btrfs}/*`] }],
        ...more,
      },
    });
  }

  afterAll(async () => {
    await scratch.close();
    await site.close();
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  test("four workloads: what is restored equals what was there, the second run uploads the change only", async () => {
    const first = await backUp();
    await expectRestored(first);
    const before = bytesIn(repository);
    for (const unit of units) await changeOnePlace(site, unit, "changed");
    const second = await backUp();
    const grown = bytesIn(repository) - before;
    expect(grown).toBeLessThanOrEqual(units.length * CHANGE * 1.05);
    expect(grown).toBeGreaterThan(units.length * CHANGE * 0.9);
    await expectRestored(second);
  });

  test.each(["SIGTERM", "SIGKILL"] as const)(
    "a run that %s ends in the midst is made good by the next",
    async (signal) => {
      await writeConfig({ upload_limit: "4MiB/s" });
      for (const unit of units) await changeOnePlace(site, unit, signal);
      const started = site.start(["offsite", "run"]);
      await seenAtWork();
      const began = Date.now();
      started.kill(signal);
      const { exitCode } = await started.ended;
      if (signal === "SIGTERM") expect([exitCode, Date.now() - began < 30_000]).toEqual([143, true]);
      if (signal === "SIGTERM") await expectNothingLeft();
      expect(await atWork()).toBe(false);
      await writeConfig({});
      await expectRestored(await backUp());
    },
  );

  /** Waits until another process sees that the run is uploading. */
  async function seenAtWork(): Promise<void> {
    for (let tries = 0; tries < 120; tries += 1) {
      const [copy] = await call(site.source, "GET", `/1.0/instances?project=${scratch.project}`).then((names) =>
        (names as string[]).filter((name) => name.includes("/offsite-")),
      );
      if (copy !== undefined && (await atWork())) return;
      await setTimeout(500);
    }
    throw new Error("The run has not begun within a minute");
  }

  async function atWork(): Promise<boolean> {
    const { stdout } = await site.iab(["offsite", "status", "-f", "json"]);
    return JSON.parse(stdout).in_progress;
  }

  test.each(["stopped", "files"])(
    "restore_snapshot_id of %s is restored once at the next run, and then empty in the file",
    async (name) => {
      const { id, digest } = await unwanted(name);
      await writeConfig({ restore_snapshot_id: id });
      const ended = await site.iab(["offsite", "run", "-f", "json"]);
      expect(ended, ended.stdout).toMatchObject({ exitCode: 0, stderr: "" });
      expect(JSON.parse(ended.stdout).exitCode).toBe(0);
      await expectRestoredOnce(name, digest);
    },
  );

  test.each(["before anything is made", "while it is made"])(
    "restore_snapshot_id of a run that is killed %s is restored by the next one",
    async (when) => {
      const { id, digest } = await unwanted("running");
      await writeConfig({ restore_snapshot_id: id });
      const started = site.start(["offsite", "run"]);
      await started.heard(/restore\.started/);
      while (when.startsWith("while") && !(await namesBeside(unitNamed("running"))).includes("restore-"))
        await setTimeout(50);
      started.kill("SIGKILL");
      await started.ended;
      expect(wish()).toBe(id);
      const ended = await site.iab(["offsite", "run"]);
      expect(ended, ended.stdout).toMatchObject({ exitCode: 0, stderr: "" });
      await expectRestoredOnce("running", digest);
      const running = await call(site.source, "GET", `/1.0/instances/running?project=${scratch.project}`);
      expect(running).toMatchObject({ status: "Running" });
    },
  );

  const wish = () => JSON.parse(readFileSync(site.configPath, "utf8")).offsite.restore_snapshot_id;
  const unitNamed = (name: string): Unit => {
    const unit = units.find((each) => each.name === name);
    if (unit === undefined) throw new Error("no such workload");
    return unit;
  };
  /** What there is of the kind of a workload, where it is. */
  const namesBeside = async (unit: Unit): Promise<string> => {
    const path = unit.kind === "instance" ? "/1.0/instances" : `/1.0/storage-pools/${unit.pool}/volumes/custom`;
    const paths = (await call(site.source, "GET", `${path}?project=${unit.project}`)) as string[];
    return paths.map((each) => each.split("?")[0]?.split("/").at(-1)).join(" ");
  };

  /** Backs a workload up that is changed afterwards. */
  async function unwanted(name: string): Promise<{ readonly id: string; readonly digest: string | undefined }> {
    const unit = unitNamed(name);
    const { listed, digests } = await backUp();
    const wanted = listed.find((each) => each.tags["workload"] === idOf(unit) && isContent(each));
    await changeOnePlace(site, unit, "unwanted");
    return { id: wanted?.id ?? "", digest: digests.get(unit) };
  }

  async function expectRestoredOnce(name: string, digest: string | undefined): Promise<void> {
    const unit = unitNamed(name);
    expect(await digestAt(await contentPath(site.source, unit))).toBe(digest);
    expect(wish()).toBe("");
    const names = await namesBeside(unit);
    expect(names).toContain(`${name}-before-`);
    expect(names).not.toMatch(/(^| )restore-/);
    // What was set aside is of no use to what comes next, and would be backed up with it.
    for (const each of names.split(" ").filter((one) => one.includes("-before-"))) {
      await deleteUnit(site.source, { ...unit, name: each });
    }
  }

  test("nothing of it is left on the server or in the pool", () => expectNothingLeft());

  async function expectNothingLeft(): Promise<void> {
    expect(await orphanSubvolumes(site.source, site.source.pools.btrfs)).toEqual([]);
    const { project } = scratch;
    const names = await call(site.source, "GET", `/1.0/instances?project=${project}`);
    expect(JSON.stringify(names)).not.toContain("/offsite-");
    for (const unit of units) {
      expect(await configOf(unit)).not.toMatch(/user\.iab\./);
      expect(await snapshotNames(site.source, unit)).toEqual([]);
    }
  }

  type Backed = { readonly listed: readonly Listed[]; readonly digests: ReadonlyMap<Unit, string> };

  /** Backs everything up, and notes what was there. */
  async function backUp(): Promise<Backed> {
    const digests = new Map<Unit, string>();
    for (const unit of units) digests.set(unit, await digestAt(await contentPath(site.source, unit)));
    const ended = await site.iab(["offsite", "run", "-f", "json"]);
    expect(ended, ended.stdout).toMatchObject({ exitCode: 0, stderr: "" });
    const { run } = JSON.parse(ended.stdout);
    const all: Listed[] = JSON.parse((await site.iab(["offsite", "list", "-f", "json"])).stdout);
    return { listed: all.filter(({ tags }) => tags["run"] === run), digests };
  }

  /** Every workload of a run has its record, and what is restored of it is what was there. */
  async function expectRestored({ listed, digests }: Backed): Promise<void> {
    expect(listed.every(({ state }) => state === "complete")).toBe(true);
    for (const [unit, digest] of digests) {
      const own = listed.filter(({ tags }) => tags["workload"] === idOf(unit));
      const [part, record, ...more] = [...own.filter(isContent), ...own.filter((each) => !isContent(each))];
      expect(more).toEqual([]);
      const folder = scratchFolder();
      expect((await site.iab(["offsite", "restore", part?.id ?? "", "--to", join(folder, "x")])).exitCode).toBe(0);
      const [tar = ""] = readdirSync(join(folder, "x"));
      execFileSync("tar", ["xpf", join(folder, "x", tar), "--numeric-owner", "-C", folder]);
      expect(await digestAt(contentIn(join(folder, "backup"), unit)), idOf(unit)).toBe(digest);
      const text = (await site.iab(["offsite", "restore", record?.id ?? "", "--to", join(folder, "record")])).exitCode;
      expect(text).toBe(0);
    }
  }

  function configOf(unit: Unit): Promise<string> {
    const path =
      unit.kind === "instance"
        ? `/1.0/instances/${unit.name}`
        : `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}`;
    return call(site.source, "GET", `${path}?project=${unit.project}`).then((answer) => JSON.stringify(answer));
  }
});

const folders: string[] = [];
function scratchFolderForAll(): string {
  const folder = mkdtempSync(join(tmpdir(), "iab-offsite-run-"));
  folders.push(folder);
  return folder;
}

function isContent({ tags }: Listed): boolean {
  return tags["part"] !== "config";
}

function idOf(unit: Unit): string {
  return unit.kind === "instance" ? `${unit.project}/${unit.name}` : `${unit.project}/${unit.pool}/${unit.name}`;
}

/** Where the content of a unit is in what Incus exports. */
function contentIn(backup: string, unit: Unit): string {
  if (unit.kind === "instance") return join(backup, "container", "rootfs");
  return unit.name === "raw" ? join(backup, "volume.img") : join(backup, "volume");
}

function bytesIn(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** Of a folder everything; of a disk the bytes, whoever the file that holds them belongs to. */
async function digestAt(path: string): Promise<string> {
  if (statSync(path).isDirectory()) return digestOf(path);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
}

/** Another file, or other bytes in the midst of a disk. */
async function changeOnePlace({ source }: Site, unit: Unit, seed: string): Promise<void> {
  const path = await contentPath(source, unit);
  const isDisk = path.endsWith(".img");
  await writeBytes(isDisk ? path : join(path, "data", "added"), `${seed} ${unit.name}`, CHANGE, isDisk ? 4 * MIB : 0);
}

/** A running container, a stopped one, a filesystem volume, a block volume. */
async function fourWorkloads({ source }: Site, project: string): Promise<Unit[]> {
  const pool = source.pools.btrfs;
  const running = await createInstance(source, { project, name: "running", pool, seed: "running", sizeBytes: SIZE });
  await startInstance(source, running);
  return [
    running,
    await createInstance(source, { project, name: "stopped", pool, seed: "stopped", sizeBytes: SIZE }),
    await createVolume(source, { project, pool, name: "files", seed: "files", sizeBytes: SIZE }),
    await createVolume(source, { project, pool, name: "raw", contentType: "block", seed: "raw", sizeBytes: SIZE }),
  ];
}
