import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InstanceUnit, Unit, VolumeUnit } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, contentDigest, orphanSubvolumes } from "../lab/storage.ts";
import {
  changeState,
  crashInstance,
  createInstance,
  createIso,
  createVolume,
  deleteUnit,
  startInstance,
  takeSnapshot,
} from "../lab/workloads.ts";
import { factsOf, Ledger, ownSnapshotNames, snapshotNames } from "./ledger.ts";
import { openSite, type Site } from "./site.ts";

const MIB = 1 << 20;
const KEPT = 2;
/** Of 63 characters, as many as an instance's name may have. */
const LONG = `long-${"x".repeat(57)}z`;
const BORROWING = {
  "features.images": "false",
  "features.profiles": "false",
  "features.storage.volumes": "false",
  "features.storage.buckets": "false",
};

describe.each(GENERATIONS)("Incus %s: workloads of every shape", (generation) => {
  const { source, target } = openLab().incus[generation];
  const { btrfs, btrfs2, dir } = source.pools;
  const ledger = new Ledger();
  let site: Site;
  let scratch: Scratch;
  let borrowers: string[];
  let box: Record<"grown" | "frozen" | "fleeting" | "crashed" | "long" | "reader", InstanceUnit>;
  let volumes: Record<"raw" | "full" | "shared", VolumeUnit>;
  let images: VolumeUnit[];
  let units: Unit[];

  beforeAll(async () => {
    site = await openSite(generation);
    scratch = await openScratch(source, target);
    const { project } = scratch;
    borrowers = ["a", "b"].map((end) => `${project}-${end}`);
    for (const name of borrowers)
      for (const daemon of [source, target]) await call(daemon, "POST", "/1.0/projects", { name, config: BORROWING });
    await furnish();
    const stop = { stop: true };
    await site.writeConfig({
      projects: [
        {
          name: project,
          mode: "pull",
          instances: [
            { name: "grown", storage: btrfs2 },
            { name: "frozen", ...stop },
            { name: "fleeting", ...stop },
            { name: "crashed", ...stop },
            { name: LONG },
          ],
          volumes: [
            { name: "*", storage: btrfs },
            { name: "*", storage: dir, targetStorage: btrfs2 },
          ],
        },
        ...borrowers.map((name) => ({
          name,
          mode: "push",
          instances: [{ name: "*" }],
          volumes: name.endsWith("a") ? [{ name: volumes.shared.name, storage: btrfs }] : [],
        })),
      ],
      retention: { hosts: { source: { default: String(KEPT) } } },
    });
  });

  afterAll(async () => {
    // One that is ephemeral goes by itself when it is stopped.
    await call(source, "PATCH", `/1.0/instances/fleeting?project=${scratch.project}`, { ephemeral: false });
    for (const daemon of [source, target]) {
      await deleteUnit(daemon, box.reader);
      await deleteUnit(daemon, volumes.shared);
      for (const name of borrowers) await call(daemon, "DELETE", `/1.0/projects/${name}`);
    }
    await scratch.close();
    await site.close();
  });

  async function furnish(): Promise<void> {
    const { project } = scratch;
    const [borrower = ""] = borrowers;
    const instance = (name: string, more: object = {}) =>
      createInstance(source, { project, name, pool: btrfs, seed: name, ...more });
    const shared = `shared-${randomBytes(4).toString("hex")}`;
    volumes = {
      raw: await createVolume(source, { project, pool: btrfs, name: "raw", contentType: "block", seed: "raw" }),
      full: await createVolume(source, { project, pool: btrfs, name: "full", seed: "full", config: { size: "20MiB" } }),
      shared: await createVolume(source, { project: "default", pool: btrfs, name: shared, seed: "shared" }),
    };
    images = [
      await createIso(source, { project, pool: btrfs, name: "cd", seed: "cd" }),
      await createIso(source, { project, pool: dir, name: "dvd", seed: "dvd" }),
    ];
    const root = { type: "disk", path: "/", pool: btrfs, size: "30MiB" };
    const disk = { type: "disk", pool: btrfs, source: shared, path: "/srv" };
    box = {
      grown: await instance("grown", { devices: { root } }),
      frozen: await instance("frozen"),
      fleeting: await instance("fleeting", { pool: dir, ephemeral: true }),
      crashed: await instance("crashed"),
      long: await instance(LONG),
      reader: await instance("reader", { project: borrower, devices: { disk } }),
    };
    units = [...Object.values(volumes), ...Object.values(box)];
    for (const each of [box.frozen, box.fleeting, box.crashed]) await startInstance(source, each);
    await changeState(source, box.frozen, "freeze");
    await crashInstance(source, box.crashed);
  }

  async function run(...flags: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await site.iab(["run", ...flags]);
    expect([exitCode, stderr], stdout).toEqual([0, ""]);
    for (const unit of units) await ledger.note(source, unit);
    return stdout;
  }

  test("all of them arrive, and no running instance is left in another state than it was in", async () => {
    const stdout = await run();
    expect(stdout).toContain("frozen is frozen and cannot be asked to stop");
    expect(stdout).toContain("fleeting is ephemeral and would be deleted by a stop");
    for (const unit of units) await ledger.expectEqual(source, unit, target);
    const states = { frozen: "Frozen", fleeting: "Running", crashed: "Stopped" } as const;
    for (const name of ["frozen", "fleeting", "crashed"] as const)
      expect((await factsOf(source, box[name])).status).toBe(states[name]);
    const path = `/1.0/instances/fleeting?project=${scratch.project}`;
    expect(await call(target, "GET", path)).toMatchObject({ ephemeral: false, status: "Stopped" });
  });

  test("an ISO image is copied once, whole, to another kind of pool too", async () => {
    const [cd, dvd] = images as [VolumeUnit, VolumeUnit];
    const there = [cd, { ...dvd, pool: btrfs2 }] as const;
    const before = await Promise.all(there.map((each) => call(target, "GET", addressOf(each))));
    for (const [at, image] of images.entries())
      expect(await contentDigest(target, there[at] ?? cd)).toBe(await contentDigest(source, image));
    expect(await run()).toContain("an ISO image does not change, and its copy is there");
    expect(await Promise.all(there.map((each) => call(target, "GET", addressOf(each))))).toEqual(before);
  });

  test("what has grown on the source is enlarged on the target first, root disks too", async () => {
    const { grown } = box;
    const { raw, full } = volumes;
    const root = { type: "disk", path: "/", pool: btrfs, size: "80MiB" };
    await call(source, "PATCH", `/1.0/instances/${grown.name}?project=${grown.project}`, { devices: { root } });
    await call(source, "PATCH", addressOf(raw), { config: { size: "96MiB" } });
    await call(source, "PATCH", addressOf(full), { config: { size: "60MiB" } });
    for (const unit of [grown, full]) await changeContent(source, unit, "much", 40 * MIB);
    await changeContent(source, raw, "much", 80 * MIB);
    await run();
    for (const unit of units) await ledger.expectEqual(source, unit, target);
    for (const unit of [raw, full])
      expect(await call(target, "GET", addressOf(unit))).toMatchObject({
        config: { size: unit === raw ? "96MiB" : "60MiB" },
      });
    expect(await call(target, "GET", `/1.0/instances/${grown.name}?project=${grown.project}`)).toMatchObject({
      devices: { root: { pool: btrfs2, size: "80MiB" } },
    });
  });

  test("a volume that two projects share is replicated once, and belongs to the project that holds it", async () => {
    expect(await ownSnapshotNames(source, volumes.shared)).toHaveLength(KEPT);
    expect(await ownSnapshotNames(target, volumes.shared)).toHaveLength(KEPT);
    const path = `/1.0/instances/reader?project=${box.reader.project}`;
    expect(await call(target, "GET", path)).toMatchObject({ devices: { disk: { source: volumes.shared.name } } });
  });

  test("a reseed keeps the old replica of the longest name where it holds more, and an adoption takes it over", async () => {
    const { long } = box;
    await takeSnapshot(target, long, "mine");
    await run("--reseed", `${long.project}/${long.name}`);
    await ledger.expectEqual(source, long, target);
    const listed = (await call(target, "GET", `/1.0/instances?recursion=1&project=${long.project}`)) as {
      name: string;
    }[];
    const [old = ""] = listed.map(({ name }) => name).filter((name) => name.includes("-iab-old-"));
    const kept = { ...long, name: old };
    expect(await snapshotNames(target, kept)).toContain("mine");
    await deleteUnit(target, kept);

    const mark = { "user.iab.source": "another:default/one" };
    await call(target, "PATCH", `/1.0/instances/${long.name}?project=${long.project}`, { config: mark });
    const { exitCode, stdout } = await site.iab(["run"]);
    expect([exitCode, stdout.replaceAll(/\s+/g, " ")]).toEqual([
      3,
      expect.stringContaining("is the replica of another:default/one"),
    ]);
    for (const unit of units) await ledger.note(source, unit);
    await run("--adopt", `${long.project}/${long.name}`);
    for (const unit of units) await ledger.expectEqual(source, unit, target);
    for (const pool of [btrfs, btrfs2]) expect(await orphanSubvolumes(target, pool)).toEqual([]);
  });
});

function addressOf({ pool, name, project }: VolumeUnit): string {
  return `/1.0/storage-pools/${pool}/volumes/custom/${name}?project=${project}`;
}
