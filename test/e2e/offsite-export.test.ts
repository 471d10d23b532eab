import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { InstanceUnit, Unit, VolumeUnit } from "../../src/model/unit.ts";
import { PASSWORD } from "../contract/kopia-lab.ts";
import { writeBytes } from "../lab/content.ts";
import { call } from "../lab/daemon-api.ts";
import { createTinyPool, deletePool } from "../lab/faults.ts";
import { GENERATIONS, type LabDaemon, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, contentDigest, contentPath } from "../lab/storage.ts";
import { createInstance, createVolume, deleteUnit, startInstance } from "../lab/workloads.ts";
import { ownerWithFirstTurn } from "./first-turn.ts";
import { openSite, type Site } from "./site.ts";

const run = promisify(execFile);
const SIZE_BYTES = 6_000_000;
const Listed = z.array(
  z.object({ id: z.string(), state: z.string(), time: z.string(), tags: z.record(z.string(), z.string()) }),
);
const InstanceFacts = z.object({
  status: z.string(),
  config: z.record(z.string(), z.string()),
  devices: z.record(z.string(), z.record(z.string(), z.string())),
});

describe.each(GENERATIONS)("offsite by export on Incus %s", (generation) => {
  let site: Site;
  let scratch: Scratch;
  let source: LabDaemon;
  let target: LabDaemon;
  const folder = mkdtempSync(join(tmpdir(), "iab-offsite-"));
  const units: Record<string, Unit> = {};
  /** Of what each of them held when it was backed up last. */
  const digests: Record<string, string> = {};

  beforeAll(async () => {
    site = await openSite(generation, { environment: { IAB_KOPIA: openLab().kopia().path } });
    ({ source, target } = site);
    scratch = await openScratch(source, target);
    const { project } = scratch;
    const devices = { eth0: { type: "nic", network: "lan0" } };
    const big = { project, sizeBytes: SIZE_BYTES };
    units["running"] = await createInstance(source, { ...big, name: "running", pool: "local", seed: "r", devices });
    units["stopped"] = await createInstance(source, { ...big, name: "stopped", pool: "plain", seed: "s" });
    units["files"] = await createVolume(source, { ...big, name: "files", pool: "local", seed: "f" });
    units["disk"] = await createVolume(source, {
      ...big,
      name: "disk",
      pool: "local",
      seed: "d",
      contentType: "block",
      config: { size: "96MiB" },
    });
    await attribute(source, join(await contentPath(source, unit("running")), "data", "common"));
    await startInstance(source, unit("running") as InstanceUnit);
    const disk = { type: "disk", pool: "local", source: "files", path: "/mnt" };
    const user = await createInstance(source, { project, name: "user", pool: "local", devices: { disk } });
    // The first start of a container with it gives a volume's files their owners.
    await startInstance(source, user);
    await site.writeConfig({
      offsite: {
        repository_password: PASSWORD,
        backend: { type: "filesystem", filesystem: { path: folder } },
        create: true,
        ...ownerWithFirstTurn(`export-${generation.replace(".", "-")}`),
        cache: { directory: join(site.folder, "kopia") },
        sources: [{ read: "export", instances: [`${project}/[rs]*`], volumes: [`${project}/local/*`] }],
      },
    });
  });

  afterAll(async () => {
    await site?.close();
    await scratch?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const unit = (name: string): Unit => {
    const found = units[name];
    if (found === undefined) throw new Error(`There is no ${name}`);
    return found;
  };

  const iab = async (...argv: string[]): Promise<string> => {
    const ended = await site.iab(argv);
    expect(ended, `iab ${argv.join(" ")}: ${ended.stderr} ${ended.stdout}`).toMatchObject({ exitCode: 0 });
    return ended.stdout;
  };

  const backUp = async (): Promise<void> => {
    for (const [name, each] of Object.entries(units)) digests[name] = await contentDigest(source, each);
    await iab("offsite", "run");
  };

  /** The newest export of a workload. */
  const newest = async (name: string): Promise<string> => {
    const { kind, project } = unit(name);
    const workload = kind === "instance" ? `${project}/${name}` : `${project}/local/${name}`;
    const listed = Listed.parse(JSON.parse(await iab("offsite", "list", "-f", "json")));
    const own = listed.filter(({ tags }) => tags["workload"] === workload && tags["role"] === "export");
    return own.at(-1)?.id ?? "none";
  };

  const facts = async (daemon: LabDaemon, name: string) =>
    InstanceFacts.parse(await call(daemon, "GET", `/1.0/instances/${name}?project=${scratch.project}`));

  test("four workloads are backed up twice, and what has not changed is stored once", async () => {
    await backUp();
    const first = bytesIn(folder);
    for (const name of ["running", "stopped", "files", "disk"])
      await changeContent(source, unit(name), "later", 50_000);
    await backUp();
    const second = bytesIn(folder);
    await backUp();
    const third = bytesIn(folder);
    expect(first).toBeGreaterThan(4 * SIZE_BYTES);
    expect(third - second).toBeLessThan(first / 50);
    expect(await namesOn(source, scratch.project)).toEqual(["running", "stopped", "user"]);
  });

  test.each([
    ["running", "plain", "source"],
    ["stopped", "tank", "source"],
    ["stopped", "local", "target"],
  ] as const)("%s is restored into the pool %s of the %s with all it had", async (name, pool, side) => {
    const daemon = side === "source" ? source : target;
    const made: InstanceUnit = { kind: "instance", project: scratch.project, name: `${name}-${pool}` };
    const where = ["--to-incus", `${scratch.project}/${made.name}`, "--pool", pool, "--server", side];
    await iab(
      "offsite",
      "restore",
      await newest(name),
      ...where,
      ...(side === "target" ? ["--without-device", "eth0"] : []),
    );
    expect(await contentDigest(daemon, made)).toBe(digests[name]);
    const path = await contentPath(daemon, made);
    const [one, other] = await Promise.all([stat(join(path, "data/empty")), stat(join(path, "data/deep/hard link"))]);
    expect(one.ino).toBe(other.ino);
    const { status, config } = await facts(daemon, made.name);
    expect(status).toBe("Stopped");
    expect(config["boot.autostart"]).toBe("false");
    expect(Object.keys(config).filter((key) => key.startsWith("user.iab."))).toEqual([]);
    await startInstance(daemon, made);
    const started = await facts(daemon, made.name);
    expect(started.status).toBe("Running");
    const before = (await facts(source, name)).config;
    expect(started.config["volatile.uuid"]).not.toBe(before["volatile.uuid"]);
    if (name !== "running") return;
    expect(await attributeOf(daemon, join(path, "data", "common"))).toContain('user.colour="blue"');
    expect(started.config["volatile.eth0.hwaddr"]).not.toBe(before["volatile.eth0.hwaddr"]);
  });

  test.each([
    ["files", "plain", "source"],
    ["disk", "local", "target"],
    ["disk", "plain", "source"],
  ] as const)("the volume %s is restored into the pool %s of the %s", async (name, pool, side) => {
    const made: VolumeUnit = { kind: "volume", project: scratch.project, pool, name: `${name}-again` };
    const where = ["--to-incus", `${scratch.project}/${pool}/${made.name}`, "--pool", pool, "--server", side];
    await iab("offsite", "restore", await newest(name), ...where);
    expect(await contentDigest(side === "source" ? source : target, made)).toBe(digests[name]);
  });

  test.each(["running", "local/files", "local/disk"])(
    "a drill of %s finds it as it was, and leaves nothing behind",
    async (name) => {
      const said = await iab("offsite", "verify", "--drill", `${scratch.project}/${name}`, "--pool", "tank");
      expect(said).toMatch(/compared it: \d+ entries, .*, no difference/);
      expect((await namesOn(source, scratch.project)).filter((each) => each.startsWith("drill-"))).toEqual([]);
    },
  );

  test("what is there is replaced only when that is asked for, and set aside whole", async () => {
    const id = await newest("running");
    const where = ["offsite", "restore", id, "--to-incus", `${scratch.project}/running`];
    expect(await site.iab(where)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("it is there already"),
    });
    const before = await facts(source, "running");
    await changeContent(source, unit("running"), "ruined", 50_000);
    const ruined = await contentDigest(source, unit("running"));
    await iab(...where, "--replace", "--yes");
    const after = await facts(source, "running");
    expect(after.status).toBe("Running");
    expect(after.config["volatile.eth0.hwaddr"]).toBe(before.config["volatile.eth0.hwaddr"]);
    expect(after.devices).toEqual(before.devices);
    expect(await contentDigest(source, unit("running"))).toBe(digests["running"]);
    const [aside = ""] = (await namesOn(source, scratch.project)).filter((name) => name.includes("-before-"));
    expect((await facts(source, aside)).status).toBe("Stopped");
    expect(await contentDigest(source, { kind: "instance", project: scratch.project, name: aside })).toBe(ruined);
  });

  test("a volume in use is replaced, and its instances go on with the new one", async () => {
    const ruined = join(await contentPath(source, unit("files")), "data");
    rmSync(ruined, { recursive: true });
    const to = ["--to-incus", `${scratch.project}/local/files`, "--replace", "--yes"];
    await iab("offsite", "restore", await newest("files"), ...to);
    expect(await contentDigest(source, unit("files"))).toBe(digests["files"]);
    const after = await facts(source, "user");
    expect(after.status).toBe("Running");
    expect(after.devices["disk"]).toMatchObject({ source: "files" });
  });

  test("a restore that the pool has no room for is refused before anything is sent", async () => {
    const { project } = scratch;
    const pool = `tiny-${project}`;
    await createTinyPool(source, pool);
    const filling = await createVolume(source, { project, pool, name: "filling" });
    const file = join(await contentPath(source, filling), "file");
    // A small btrfs pool is full long before its server says so: 75 MiB seem to be left.
    await expect(writeBytes(file, "filling", 300_000_000, 0)).rejects.toThrow("ENOSPC");
    const to = ["--to-incus", `${project}/${pool}/again`, "--pool", pool];
    expect(await site.iab(["offsite", "restore", await newest("disk"), ...to])).toMatchObject({
      exitCode: 5,
      stderr: expect.stringMatching(/it takes 97 MiB, and the pool .* has \d+ MiB left[\s\S]*--ignore-space/),
    });
    const listed = await call(source, "GET", `/1.0/storage-pools/${pool}/volumes/custom?project=${project}`);
    expect(JSON.stringify(listed)).not.toContain("again");
    await deleteUnit(source, filling);
    await deletePool(source, pool);
  });

  test("a restore that cannot come to its end leaves nothing behind", async () => {
    const id = await newest("running");
    const to = ["--to-incus", `${scratch.project}/never`];
    const nowhere = await site.iab(["offsite", "restore", id, ...to, "--pool", "missing"]);
    expect(nowhere).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("has none of this name") });
    const ending = new AbortController();
    const given = site.iab(["offsite", "restore", id, ...to], { signal: ending.signal });
    setTimeout(() => ending.abort("SIGTERM"), 2500);
    const ended = await given;
    if (ended.exitCode !== 0) expect(await namesOn(source, scratch.project)).not.toContain("never");
  });
});

function bytesIn(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

async function namesOn(daemon: LabDaemon, project: string): Promise<string[]> {
  const list = await call(daemon, "GET", `/1.0/instances?recursion=1&project=${project}`);
  return z
    .array(z.object({ name: z.string() }))
    .parse(list)
    .map(({ name }) => name)
    .sort();
}

/** The daemons' own programs: the machine itself need not have them. */
function programOf({ keeperPid }: LabDaemon, name: string): [string, string[]] {
  const root = `/proc/${keeperPid}/root/usr`;
  const libraries = ["--library-path", `${root}/lib/x86_64-linux-gnu`];
  return [`${root}/lib64/ld-linux-x86-64.so.2`, [...libraries, `${root}/bin/${name}`]];
}

async function attribute(daemon: LabDaemon, path: string): Promise<void> {
  const [program, words] = programOf(daemon, "setfattr");
  await run(program, [...words, "-n", "user.colour", "-v", "blue", path]);
}

async function attributeOf(daemon: LabDaemon, path: string): Promise<string> {
  const [program, words] = programOf(daemon, "getfattr");
  return (await run(program, [...words, "-d", "--absolute-names", path])).stdout;
}
