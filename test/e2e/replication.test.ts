import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, orphanSubvolumes } from "../lab/storage.ts";
import { createInstance, createVolume, deleteUnit, startInstance, takeSnapshot } from "../lab/workloads.ts";
import { runHealed } from "./broken-by-incus.ts";
import { factsOf, Ledger, ownSnapshotNames, snapshotNames } from "./ledger.ts";
import { openSite, type Site } from "./site.ts";

const RUNS = 11;
const KEPT = 4;
const MODES = ["pull", "push", "relay"] as const;
const NIC = { type: "nic", network: "lan0", name: "eth0" };

describe.each(GENERATIONS)("Incus %s: eleven runs by pull, push and relay, on btrfs and dir", (generation) => {
  const ledger = new Ledger();
  const units: Unit[] = [];
  const scratches: Scratch[] = [];
  let site: Site;

  beforeAll(async () => {
    site = await openSite(generation);
    for (const mode of MODES) {
      const scratch = await openScratch(site.source, site.target);
      scratches.push(scratch);
      units.push(...(await furnish(site, scratch.project, { all: mode === "pull" })));
      if (mode === "pull" && generation === "6.0") await startInstance(site.source, instanceOf(scratch.project, "box"));
    }
    await site.writeConfig({
      projects: scratches.map(({ project }, at) => ({
        name: project,
        mode: MODES[at],
        instances: [{ name: "*", excludeDevices: ["unwanted"] }],
        volumes: [
          { name: "*", storage: site.source.pools.btrfs },
          { name: "*", storage: site.source.pools.dir },
        ],
      })),
      retention: { hosts: { source: { default: String(KEPT) } } },
    });
  });

  afterAll(async () => {
    for (const { close } of scratches) await close();
    await site.close();
  });

  test("every run leaves on the target what the source has, down to the last byte", async () => {
    for (let run = 1; run <= RUNS; run += 1) {
      const ended = await runHealed(site);
      expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
      for (const unit of units) {
        await ledger.note(site.source, unit);
        await changeContent(site.source, unit, `run-${run}`);
      }
    }
    for (const unit of units) {
      expect(await ownSnapshotNames(site.source, unit)).toHaveLength(KEPT);
      await ledger.expectEqual(site.source, unit, site.target);
    }
  });

  test("a replica is marked, safe, and made without what the target lacks", async () => {
    for (const { project } of scratches) {
      const { config, status } = await factsOf(site.target, instanceOf(project, "box"));
      const [newest] = (await snapshotNames(site.target, instanceOf(project, "box"))).slice(-1);
      expect(status).toBe("Stopped");
      expect(config).toMatchObject({
        "boot.autostart": "false",
        "user.iab.source": `one:${project}/box`,
        "user.iab.last": newest,
      });
      expect(config["snapshots.schedule"]).toBeUndefined();
      const dropped = JSON.parse(config["user.iab.dropped-devices"] ?? "{}");
      expect(dropped).toMatchObject({ eth0: NIC, unwanted: { type: "unix-char" } });
    }
  });

  test("a foreign snapshot on the source stays there, and reaches the target", async () => {
    const [unit] = units;
    if (unit === undefined) throw new Error("no units");
    await takeSnapshot(site.source, unit, "before-upgrade");
    await ledger.note(site.source, unit);
    expect((await runHealed(site)).exitCode).toBe(0);
    await ledger.note(site.source, unit);
    expect(await snapshotNames(site.target, unit)).toContain("before-upgrade");
    await ledger.expectEqual(site.source, unit, site.target);
  });

  test("nothing hidden is left on btrfs, and every replica can be deleted", async () => {
    for (const { source, target } of [site]) {
      expect(await orphanSubvolumes(target, target.pools.btrfs)).toEqual([]);
      expect(await orphanSubvolumes(source, source.pools.btrfs)).toEqual([]);
    }
    for (const unit of [...units].reverse()) await deleteUnit(site.target, unit);
    expect(await orphanSubvolumes(site.target, site.target.pools.btrfs)).toEqual([]);
  });
});

describe.each(GENERATIONS)("Incus %s", (generation) => {
  test("a restricted certificate and another target project are enough for two runs", async () => {
    const { source, target } = openLab().incus[generation];
    const from = await openScratch(source);
    const to = await openScratch(target);
    const site = await openSite(generation, { projects: { source: [from.project], target: [to.project] } });
    const ledger = new Ledger();
    try {
      const units = await furnish(site, from.project);
      await site.writeConfig({
        projects: [
          {
            name: from.project,
            targetProject: to.project,
            mode: "pull",
            instances: [{ name: "box", storage: target.pools.btrfs2 }, { name: "flat" }],
            volumes: [
              { name: "data", storage: source.pools.btrfs, targetStorage: target.pools.btrfs2 },
              { name: "sheet", storage: source.pools.dir, targetStorage: target.pools.btrfs2 },
              { name: "raw", storage: source.pools.btrfs },
            ],
          },
        ],
      });
      for (let run = 0; run < 2; run += 1) {
        expect(await runHealed(site)).toMatchObject({ exitCode: 0, stderr: "" });
        for (const unit of units) {
          await ledger.note(source, unit);
          await changeContent(source, unit, `change-${run}`);
        }
      }
      for (const unit of units)
        await ledger.expectEqual(source, unit, target, placed(unit, to.project, target.pools.btrfs2));
    } finally {
      await to.close();
      await from.close();
      await site.close();
    }
  });

  test("a plan changes nothing on either server, before the first run and after it", async () => {
    const site = await openSite(generation);
    const scratch = await openScratch(site.source, site.target);
    try {
      await furnish(site, scratch.project);
      await site.writeConfig({
        projects: [{ name: scratch.project, mode: "pull", instances: [{ name: "*" }] }],
        retention: { hosts: { source: { default: "1" } } },
      });
      for (const argv of [["plan"], ["run", "--dryRun"]]) {
        const before = await everything(site, scratch.project);
        expect((await site.iab(argv)).exitCode).toBe(0);
        expect(await everything(site, scratch.project)).toEqual(before);
        expect((await runHealed(site)).exitCode).toBe(0);
      }
    } finally {
      await scratch.close();
      await site.close();
    }
  });
});

function instanceOf(project: string, name: string) {
  return { kind: "instance", project, name } as const;
}

/** Workloads on both kinds of pool, at least one of them with a volume, a network the target lacks and an unwanted device. */
async function furnish({ source }: Site, project: string, options = { all: true }): Promise<Unit[]> {
  const { btrfs, dir } = source.pools;
  const data = await createVolume(source, { project, pool: btrfs, name: "data", seed: "data" });
  const devices = {
    data: { type: "disk", pool: btrfs, source: "data", path: "/srv" },
    eth0: NIC,
    unwanted: { type: "unix-char", source: "/dev/null", path: "/dev/unwanted" },
  };
  const config = { "boot.autostart": "true", "snapshots.schedule": "@yearly" };
  const box = await createInstance(source, { project, name: "box", pool: btrfs, seed: "box", devices, config });
  const flat = await createInstance(source, { project, name: "flat", pool: dir, seed: "flat" });
  if (!options.all) return [data, box, flat];
  const sheet = await createVolume(source, { project, pool: dir, name: "sheet", seed: "sheet" });
  const raw = await createVolume(source, { project, pool: btrfs, name: "raw", contentType: "block", seed: "raw" });
  return [data, sheet, raw, box, flat];
}

function placed(unit: Unit, project: string, pool: string): Unit {
  if (unit.kind === "instance" || unit.name === "raw") return { ...unit, project };
  return { ...unit, project, pool };
}

async function everything({ source, target }: Site, project: string): Promise<unknown> {
  const paths = [
    `/1.0/instances?recursion=2&project=${project}`,
    `/1.0/storage-pools/${source.pools.btrfs}/volumes?recursion=2&project=${project}`,
  ];
  return Promise.all([source, target].flatMap((daemon) => paths.map((path) => call(daemon, "GET", path))));
}
