import { execFile } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InstanceCopy } from "../../src/model/copy.ts";
import { snapshotName } from "../../src/model/snapshot.ts";
import type { InstanceUnit } from "../../src/model/unit.ts";
import { type CopyLab, openCopyLab } from "../contract/copy-lab.ts";
import { instanceCopy } from "../incus/copies.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { changeContent, orphanSubvolumes, sweepMigrations } from "../lab/storage.ts";
import { createInstance, deleteUnit, takeSnapshot } from "../lab/workloads.ts";
import { watchEnds } from "./last-data.ts";
import { Ledger, snapshotNames } from "./ledger.ts";
import { openSite, type Site } from "./site.ts";

const DRIVERS = ["btrfs", "dir"] as const;
type Driver = (typeof DRIVERS)[number];

const CUTS = 2;
const run = promisify(execFile);

describe.each(GENERATIONS)("Incus %s: a copy that loses its source after the last of the data", (generation) => {
  const { source, target } = openLab().incus[generation];
  const ends = watchEnds();
  const ledger = new Ledger();
  const never = new AbortController().signal;
  let lab: CopyLab;
  let site: Site;

  beforeAll(async () => {
    lab = await openCopyLab(source, target, { through: ends.through });
    site = await openSite(generation);
  });

  afterAll(async () => {
    await sweepMigrations(target, target.pools.btrfs);
    expect(await orphanSubvolumes(target, target.pools.btrfs)).toEqual([]);
    await lab?.close();
    await site?.close();
  });

  function create(name: string, driver: Driver): Promise<InstanceUnit> {
    return createInstance(source, { project: lab.project, name, pool: source.pools[driver], seed: name });
  }

  function copyOf(box: InstanceUnit, driver: Driver): InstanceCopy {
    const devices = { root: { type: "disk", path: "/", pool: source.pools[driver] } };
    const create = { ...instanceCopy().create, config: {}, devices };
    return instanceCopy({ source: box, target: box, mode: "relay", create });
  }

  /** Takes a snapshot of something new, in a second of its own. */
  async function snapshot(box: InstanceUnit, name?: string): Promise<string> {
    const taken = await snapshotNames(source, box);
    let second: string;
    do {
      await setTimeout(1001 - (Date.now() % 1000));
      second = snapshotName(Date.now());
    } while (taken.includes(second));
    const given = name ?? second;
    await changeContent(source, box, given);
    await takeSnapshot(source, box, given);
    return given;
  }

  async function expectEqual(box: InstanceUnit): Promise<void> {
    await ledger.note(source, box);
    await ledger.expectEqual(source, box, target);
  }

  function halvesOf(unit: InstanceUnit, driver: Driver): Promise<readonly string[]> {
    return lab.servers.target.halfSnapshots({ unit, type: "container", pool: target.pools[driver] }, never);
  }

  test("a relay that is given up then leaves no half of a snapshot", async () => {
    // Where the target is at work for longest between the data and its word.
    const driver = "btrfs";
    const box = await create("given-up", driver);
    const copy = copyOf(box, driver);
    await snapshot(box);
    await lab.servers.copy(copy, () => {}, never);
    await snapshot(box);
    const before = ends.ended();
    await lab.servers.copy(copy, () => {}, never);
    const count = ends.ended() - before;
    for (let cut = 0; cut < CUTS; cut += 1) {
      await snapshot(box);
      const given = new AbortController();
      ends.atEnd(count, () => given.abort());
      await expect(lab.servers.copy(copy, () => {}, given.signal)).rejects.toThrow();
      expect(given.signal.aborted).toBe(true);
      expect(await halvesOf(box, driver)).toEqual([]);
      // The next one has but one snapshot to send, as the first one had.
      await lab.servers.copy(copy, () => {}, never);
    }
    await expectEqual(box);
  });

  /** A replica whose last snapshot, which no run has proven, has lost its record and kept its volume. */
  async function halve(name: string, driver: Driver, snapshotted?: string): Promise<[InstanceUnit, string]> {
    const box = await create(name, driver);
    await site.writeConfig({ projects: [{ name: lab.project, instances: [{ name }] }] });
    expect(await site.iab(["run"])).toMatchObject({ exitCode: 0 });
    const half = await snapshot(box, snapshotted);
    await lab.servers.copy(copyOf(box, driver), () => {}, never);
    const of = `SELECT i.id FROM instances i JOIN projects p ON p.id = i.project_id WHERE i.name = '${name}' AND p.name = '${lab.project}'`;
    const sql = `DELETE FROM instances_snapshots WHERE name = '${half}' AND instance_id = (${of})`;
    await run(target.client, ["admin", "sql", "global", sql]);
    expect(await halvesOf(box, driver)).toEqual([half]);
    return [box, half];
  }

  test.each(DRIVERS)("the next run on %s removes a half that is ours, and copies again", async (driver) => {
    const [box, half] = await halve(`ours-${driver}`, driver);
    const { can } = await lab.servers.target.facts(never);
    if (!can.repairsHalves) {
      // This is what comes of it, in every run to come.
      const again = lab.servers.copy(copyOf(box, driver), () => {}, never);
      await expect(again).rejects.toThrow(/UNIQUE constraint failed: storage_volumes_snapshots/);
      expect((await site.iab(["plan"])).stdout).toContain(`half of ${half}`);
    }
    const ended = await site.iab(["run"]);
    expect(ended, ended.stdout).toMatchObject({ exitCode: 0 });
    await expectEqual(box);
    await deleteUnit(target, box);
  });

  test("a fresh copy in its place is made too", async () => {
    const [box] = await halve("fresh", "btrfs");
    const ended = await site.iab(["run", "--reseed", `${lab.project}/fresh`]);
    expect(ended, ended.stdout).toMatchObject({ exitCode: 0 });
    await expectEqual(box);
    await deleteUnit(target, box);
  });

  test("a half that is not ours is left to a person, and what we advise helps", async () => {
    // A name before ours: what comes after them, btrfs cannot send.
    const [box, half] = await halve("theirs", "btrfs", "A-by-hand");
    await snapshot(box);
    const reseed = ["--reseed", `${lab.project}/theirs`];
    const refused = await site.iab(["run", ...reseed, "-f", "json"]);
    expect(refused, refused.stdout).toMatchObject({ exitCode: 3 });
    const [, remedy = ""] = /as root: (.*)$/.exec(JSON.parse(refused.stdout).skipped[0].hint) ?? [];
    await run("sh", ["-ec", `incus() { "${target.client}" "$@"; }; ${remedy}`]);
    const ended = await site.iab(["run", ...reseed]);
    expect(ended, ended.stdout).toMatchObject({ exitCode: 0 });
    await expectEqual(box);
    expect(await snapshotNames(target, box)).toContain(half);
    await deleteUnit(target, box);
  });
});
