import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { call } from "./daemon-api.ts";
import { GENERATIONS, type LabDaemon, openLab } from "./lab.ts";
import { openScratch, resetDaemon, type Scratch } from "./scratch.ts";
import { changeContent, contentDigest, orphanSubvolumes, subvolumes } from "./storage.ts";
import { createInstance, createVolume, deleteSnapshot, deleteUnit, takeSnapshot } from "./workloads.ts";

const run = promisify(execFile);

type Kind = {
  title: string;
  create: (daemon: LabDaemon, project: string, name: string, seed: string) => Promise<Unit>;
};

const kinds: Kind[] = [
  { title: "an instance on btrfs", create: (on, project, name, seed) => createInstance(on, { project, name, seed }) },
  {
    title: "an instance on dir",
    create: (on, project, name, seed) => createInstance(on, { project, name, seed, pool: "plain" }),
  },
  {
    title: "a volume on btrfs",
    create: (on, project, name, seed) => createVolume(on, { project, pool: "tank", name, seed }),
  },
  {
    title: "a volume on dir",
    create: (on, project, name, seed) => createVolume(on, { project, pool: "plain", name, seed }),
  },
  {
    title: "a block volume on btrfs",
    create: (on, project, name, seed) => createVolume(on, { project, pool: "local", name, seed, contentType: "block" }),
  },
];

describe.each(GENERATIONS)("Incus %s", (generation) => {
  const { source, target } = openLab().incus[generation];
  let scratch: Scratch;

  beforeEach(async () => {
    scratch = await openScratch(source, target);
  });

  afterEach(async () => {
    await scratch.close();
  });

  describe.each(kinds)("$title", ({ create }) => {
    test("has the content of its seed, on either side", async () => {
      const digests = await Promise.all([
        create(source, scratch.project, "u1", "a").then((unit) => contentDigest(source, unit)),
        create(target, scratch.project, "u1", "a").then((unit) => contentDigest(target, unit)),
        create(source, scratch.project, "u2", "b").then((unit) => contentDigest(source, unit)),
      ]);
      expect(digests[0]).toBe(digests[1]);
      expect(digests[0]).not.toBe(digests[2]);
    });

    test("keeps the content of a snapshot when it changes, and changes by the seed alone", async () => {
      const unit = await create(source, scratch.project, "u1", "a");
      const first = await contentDigest(source, unit);
      await takeSnapshot(source, unit, "s0");
      await changeContent(source, unit, "b");
      await takeSnapshot(source, unit, "s1");
      const second = await contentDigest(source, unit);
      expect(second).not.toBe(first);
      expect(await contentDigest(source, unit, "s0")).toBe(first);
      expect(await contentDigest(source, unit, "s1")).toBe(second);
      await deleteSnapshot(source, unit, "s0");
      await expect(contentDigest(source, unit, "s0")).rejects.toMatchObject({ code: "ENOENT" });

      const other = await create(target, scratch.project, "u1", "a");
      await changeContent(target, other, "b");
      expect(await contentDigest(target, other)).toBe(second);
      await deleteUnit(target, other);
      await expect(contentDigest(target, other)).rejects.toMatchObject({ status: 404 });
    });
  });

  test("orphanSubvolumes() names what the server does not know, and nothing else", async () => {
    const { project } = scratch;
    const instance = await createInstance(source, { project, name: "c1", pool: "tank", seed: "a" });
    const volume = await createVolume(source, { project, pool: "tank", name: "v1", seed: "a" });
    const block = await createVolume(source, { project, pool: "tank", name: "b1", contentType: "block" });
    const alone = await createInstance(source, { project: "default", name: `alone-${project}`, pool: "tank" });
    try {
      for (const unit of [instance, volume, block, alone]) await takeSnapshot(source, unit, "s0");
      expect(await subvolumes(source, "tank")).toContain(`custom-snapshots/${project}_v1/s0`);
      expect(await orphanSubvolumes(source, "tank")).toEqual([]);

      const planted = `custom-snapshots/${project}_v1/planted`;
      await btrfs(source, "create", planted);
      expect(await orphanSubvolumes(source, "tank")).toEqual([planted]);
      await btrfs(source, "delete", planted);
    } finally {
      await deleteUnit(source, alone);
    }
  });

  test("openScratch() leaves nothing behind when it is closed", async () => {
    const { project } = scratch;
    const config = { "security.protection.delete": "true" };
    const unit = await createInstance(source, { project, name: "c1", pool: "tank", config, seed: "a" });
    await takeSnapshot(source, unit, "s0");
    await createVolume(source, { project, pool: "tank", name: "v1", contentType: "block" });
    await scratch.close();
    const left = (await subvolumes(source, "tank")).filter((path) => path.includes(project));
    expect(left).toEqual([]);
    scratch = await openScratch(source, target);
  });

  test("resetDaemon() removes what was made outside a scratch project", async () => {
    await createInstance(target, { project: "default", name: "c1" });
    await createVolume(target, { project: "default", pool: "plain", name: "v1" });
    await call(target, "POST", "/1.0/profiles", { name: "p1" });
    await call(target, "POST", "/1.0/projects", { name: "stray" });
    await resetDaemon(target);
    expect(await call(target, "GET", "/1.0/instances?all-projects=true")).toEqual([]);
    expect(await call(target, "GET", "/1.0/projects")).toEqual(["/1.0/projects/default"]);
    expect(await call(target, "GET", "/1.0/profiles")).toEqual(["/1.0/profiles/default"]);
    expect(await call(target, "GET", "/1.0/storage-pools/plain/volumes/custom")).toEqual([]);
    scratch = await openScratch(source);
  });
});

async function btrfs(daemon: LabDaemon, verb: string, path: string): Promise<void> {
  const inside = ["--target", String(daemon.keeperPid), "--mount", "--", "/usr/bin/btrfs", "subvolume", verb];
  await run("nsenter", [...inside, `${daemon.incusDir}/storage-pools/tank/${path}`]);
}
