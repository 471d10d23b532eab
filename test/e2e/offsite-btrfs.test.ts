import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type Unit, unitId } from "../../src/model/unit.ts";
import { btrfsOf, mountPool } from "../contract/storage-lab.ts";
import { digestOf, digestOfFile } from "../lab/content.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, contentDigest, orphanSubvolumes } from "../lab/storage.ts";
import {
  createInstance,
  createVolume,
  deleteUnit,
  startInstance,
  stopInstance,
  takeSnapshot,
} from "../lab/workloads.ts";
import { ownerWithFirstTurn } from "./first-turn.ts";
import { buildAgent, openSite, type Site } from "./site.ts";

const MIB = 1024 * 1024;
const KILLS = 8;
const Listed = z.array(
  z.object({ id: z.string(), time: z.string(), description: z.string(), tags: z.record(z.string(), z.string()) }),
);

describe.each(GENERATIONS)("iab offsite run on btrfs of Incus %s", (generation) => {
  const lab = openLab();
  const daemon = lab.incus[generation].source;
  const pool = daemon.pools.btrfs;
  const path = process.env["PATH"];
  let mounted: Awaited<ReturnType<typeof mountPool>>;
  let scratch: Scratch;
  let site: Site;
  let units: Unit[];

  beforeAll(async () => {
    await buildAgent();
    mounted = await mountPool(daemon, pool);
    scratch = await openScratch(daemon);
    site = await openSite(generation);
    const { project } = scratch;
    const sizeBytes = 4 * MIB;
    units = [
      await createInstance(daemon, { project, name: "running", pool, seed: "running", sizeBytes }),
      await createInstance(daemon, { project, name: "stopped", pool, seed: "stopped", sizeBytes }),
      await createVolume(daemon, { project, name: "data", pool, seed: "data", sizeBytes }),
      await createVolume(daemon, { project, name: "disk", pool, seed: "disk", sizeBytes, contentType: "block" }),
    ];
    for (const unit of units.slice(0, 1)) if (unit.kind === "instance") await startInstance(daemon, unit);
    mkdirSync(join(site.folder, "repository"));
    mkdirSync(join(site.folder, "bin"));
    program("btrfs", btrfsOf(daemon));
    program("kopia", [lab.kopia().path]);
    process.env["PATH"] = `${join(site.folder, "bin")}:${path}`;
    await site.writeConfig({
      projects: [],
      offsite: {
        repository_password: "secret",
        backend: { type: "filesystem", filesystem: { path: join(site.folder, "repository") } },
        create: true,
        ...ownerWithFirstTurn(`btrfs-${generation.replace(".", "-")}`),
        cache: { directory: join(site.folder, "cache") },
        sources: [
          { read: "btrfs", root: mounted.folder, instances: [`${project}/*`], volumes: [`${project}/${pool}/*`] },
        ],
      },
    });
  });

  afterAll(async () => {
    process.env["PATH"] = path;
    await mounted.close();
    await scratch.close();
    await site.close();
  });

  /** A program that kills the agent when it is called for the time that stands in the file `kill`. */
  function program(name: string, words: readonly string[]): void {
    const file = join(site.folder, "bin", name);
    const strike = `echo x >>${site.folder}/calls; [ "$(wc -l <${site.folder}/calls)" != "$(cat ${site.folder}/kill 2>/dev/null)" ] || kill -9 $PPID`;
    writeFileSync(file, `#!/bin/sh\n${strike}\nexec ${words.join(" ")} "$@"\n`);
    chmodSync(file, 0o755);
  }

  const digests = () => Promise.all(units.map((unit) => contentDigest(daemon, unit)));
  const repositoryBytes = () =>
    readdirSync(join(site.folder, "repository"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  const leftovers = async () => [
    ...(await orphanSubvolumes(daemon, pool)),
    ...execFileSync("ls", ["-A", mounted.folder], { encoding: "utf8" })
      .split("\n")
      .filter((name) => name.startsWith(".")),
  ];

  async function run(): Promise<void> {
    const ended = await site.iab(["offsite", "run"]);
    expect(ended.exitCode, ended.stdout + ended.stderr).toBe(0);
    expect(await leftovers()).toEqual([]);
  }

  /** The digest of the newest backup of each unit once it is restored. */
  async function restored(): Promise<string[]> {
    const listed = Listed.parse(JSON.parse((await site.iab(["offsite", "list", "-f", "json"])).stdout));
    const found: string[] = [];
    for (const unit of units) {
      const isPart = ({ tags }: (typeof listed)[number]) =>
        tags["workload"] === unitId(unit) && ["files", "disk"].includes(tags["part"] ?? "");
      const newest = listed.findLast(isPart);
      const folder = join(site.folder, `restored-${newest?.id}`);
      const ended = await site.iab(["offsite", "restore", newest?.id ?? "none", "--to", folder]);
      expect(ended.exitCode, ended.stderr).toBe(0);
      if (newest?.tags["part"] === "disk") found.push(await digestOfFile(join(folder, "disk.img")));
      else found.push(await digestOf(unit.kind === "instance" ? join(folder, "rootfs") : folder));
    }
    return found;
  }

  test("two backups of four workloads come back as they were, and the second uploads the change only", async () => {
    const before = await digests();
    await run();
    expect(await restored()).toEqual(before);

    const sizeBytes = 8 * MIB;
    for (const unit of units) await changeContent(daemon, unit, `second-${unit.name}`, sizeBytes);
    const changed = await digests();
    expect(changed.filter((digest) => before.includes(digest))).toEqual([]);
    const size = repositoryBytes();
    await run();
    expect(await restored()).toEqual(changed);
    expect(repositoryBytes() - size).toBeLessThan(units.length * sizeBytes * 1.05);
  });

  test(`after kill -9 at ${KILLS} points the next run leaves nothing behind, and its backup is whole`, async () => {
    const calls = () => readFileSync(join(site.folder, "calls"), "utf8").split("\n").length - 1;
    writeFileSync(join(site.folder, "calls"), "");
    await run();
    const whole = calls();
    let left = 0;
    for (let point = 1; point <= KILLS; point += 1) {
      writeFileSync(join(site.folder, "calls"), "");
      writeFileSync(join(site.folder, "kill"), String(Math.floor((point * whole) / (KILLS + 1))));
      const agent = site.start(["offsite", "run"]);
      const { exitCode } = await agent.ended;
      expect(exitCode, `point ${point}`).toBe(-1);
      writeFileSync(join(site.folder, "kill"), "");
      if ((await leftovers()).length > 0) left += 1;
      for (const unit of units) await changeContent(daemon, unit, `kill-${point}`);
      await run();
    }
    expect(left).toBeGreaterThan(KILLS / 3);
    expect(await restored()).toEqual(await digests());
  });

  test("Incus snapshots, stops and deletes all of it afterwards", async () => {
    for (const unit of units) {
      await takeSnapshot(daemon, unit, "afterwards");
      if (unit.name === "running" && unit.kind === "instance") await stopInstance(daemon, unit);
      await deleteUnit(daemon, unit);
    }
    expect(await leftovers()).toEqual([]);
  });
});
