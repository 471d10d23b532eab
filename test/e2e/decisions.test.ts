import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InstanceUnit, VolumeUnit } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, type LabDaemon } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, orphanSubvolumes } from "../lab/storage.ts";
import {
  createInstance,
  createVolume,
  deleteSnapshot,
  deleteUnit,
  startInstance,
  stopInstance,
  takeSnapshot,
} from "../lab/workloads.ts";
import { factsOf, Ledger, ownSnapshotNames, snapshotNames } from "./ledger.ts";
import { type Ended, openSite, type Site } from "./site.ts";

describe.each(GENERATIONS)("Incus %s: what a plan decides, on real servers", (generation) => {
  let site: Site;
  let scratch: Scratch;
  const ledger = new Ledger();
  let box: InstanceUnit;
  let data: VolumeUnit;

  /** A container with an attached volume on btrfs, replicated three times. Every test leaves it healthy. */
  beforeAll(async () => {
    site = await openSite(generation);
    scratch = await openScratch(site.source, site.target);
    const { project } = scratch;
    const { btrfs } = site.source.pools;
    data = await createVolume(site.source, { project, pool: btrfs, name: "data", seed: "data" });
    const devices = { data: { type: "disk", pool: btrfs, source: "data", path: "/srv" } };
    box = await createInstance(site.source, { project, name: "box", pool: btrfs, seed: "box", devices });
    await site.writeConfig({
      projects: [
        { name: project, mode: "pull", instances: [{ name: "box*" }], volumes: [{ name: "data", storage: btrfs }] },
      ],
    });
    for (let at = 0; at < 3; at += 1) await goodRun(`run-${at}`);
  });

  afterAll(async () => {
    await scratch.close();
    await site.close();
  });

  async function goodRun(seed: string, ...flags: string[]): Promise<Ended> {
    const ended = await site.iab(["run", ...flags]);
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    for (const unit of [box, data]) {
      await ledger.note(site.source, unit);
      await changeContent(site.source, unit, seed);
    }
    return ended;
  }

  async function badRun(...flags: string[]): Promise<Ended> {
    const ended = await site.iab(["run", ...flags]);
    expect(ended.exitCode).toBe(3);
    return ended;
  }

  const patch = (daemon: LabDaemon, unit: InstanceUnit, config: Record<string, string>) =>
    call(daemon, "PATCH", `/1.0/instances/${unit.name}?project=${unit.project}`, { config });

  test("a gap on btrfs is not refreshed over, and a reseed puts a fresh copy in its place, attached as before", async () => {
    for (const unit of [box, data]) {
      const [, middle = ""] = await ownSnapshotNames(site.target, unit);
      await deleteSnapshot(site.target, unit, middle);
    }
    const before = await snapshotNames(site.source, box);
    const { stdout } = await badRun();
    expect(stdout).toContain("a refresh over such a gap damages it");
    expect(stdout).toContain(`iab run --reseed ${scratch.project}/box`);
    expect(await snapshotNames(site.source, box)).toEqual(before);

    await goodRun("reseeded", "--reseed", `${scratch.project}/*`, "--reseed", `${scratch.project}/*/data`);
    for (const unit of [box, data]) await ledger.expectEqual(site.source, unit, site.target);
    expect(await namesOf(site.target, scratch.project)).toEqual(["box"]);
    await goodRun("after");
    for (const unit of [box, data]) await ledger.expectEqual(site.source, unit, site.target);
    expect(await orphanSubvolumes(site.target, site.target.pools.btrfs)).toEqual([]);
  });

  test("a replica without marks whose snapshots are the source's is adopted, and made safe", async () => {
    const marks = ["source", "source-uuid", "last"].map((key) => [`user.iab.${key}`, ""]);
    await patch(site.target, box, {
      ...Object.fromEntries(marks),
      "boot.autostart": "true",
      "snapshots.schedule": "@yearly",
    });
    await goodRun("adopted");
    const { config } = await factsOf(site.target, box);
    expect(config).toMatchObject({ "boot.autostart": "false", "user.iab.source": `one:${scratch.project}/box` });
    expect(config["snapshots.schedule"]).toBeUndefined();
    await ledger.expectEqual(site.source, box, site.target);
  });

  test("what no run has proven is taken back and sent again", async () => {
    const [first = "", ...later] = await ownSnapshotNames(site.target, box);
    await patch(site.target, box, { "user.iab.last": first });
    const { stdout } = await site.iab(["plan"]);
    for (const name of later) expect(stdout).toContain(`${name}  no run has proven it; it is sent again`);
    await goodRun("resent");
    await ledger.expectEqual(site.source, box, site.target);
    expect(await orphanSubvolumes(site.target, site.target.pools.btrfs)).toEqual([]);
  });

  test("an instance that was made anew under its name is not taken for the old one", async () => {
    await patch(site.target, box, { "user.iab.source-uuid": "00000000-0000-4000-8000-000000000000" });
    expect((await badRun()).stdout).toContain("box was made anew on the source since its replica was made");
    await goodRun("adopted", "--adopt", `${scratch.project}/box`);
    await ledger.expectEqual(site.source, box, site.target);
  });

  test("a replica's own snapshot, and an object that is not ours, stay as they are", async () => {
    await takeSnapshot(site.target, box, "mine");
    expect((await badRun()).stdout).toContain("would delete mine, which somebody has made on the replica");
    expect(await snapshotNames(site.target, box)).toContain("mine");
    await deleteSnapshot(site.target, box, "mine");
    await goodRun("refreshed");

    const name = "boxer";
    const { project } = scratch;
    const theirs = await createInstance(site.target, { project, name, pool: site.target.pools.btrfs, seed: "theirs" });
    const ours = await createInstance(site.source, { project, name, pool: site.source.pools.btrfs, seed: "ours" });
    const facts = await factsOf(site.target, theirs);
    expect((await badRun()).stdout).toContain("boxer on the target is not a replica of it");
    expect(await factsOf(site.target, theirs)).toEqual(facts);
    await deleteUnit(site.source, ours);
    await deleteUnit(site.target, theirs);
  });

  test("a replica that runs, or has run, is left alone until somebody gives its changes up", async () => {
    await startInstance(site.target, box);
    const { stdout } = await badRun();
    expect(stdout).toContain("its replica test-");
    expect(stdout).toContain("is not stopped (Running)");
    expect(stdout).toContain("is in use by");
    await stopInstance(site.target, box);
    expect((await badRun()).stdout).toContain("has been started: a refresh would discard what it has written since");
    await goodRun("taken-back", "--adopt", `${scratch.project}/box`);
    await ledger.expectEqual(site.source, box, site.target);
    await goodRun("as-ever");
    await ledger.expectEqual(site.source, box, site.target);
  });
});

async function namesOf(daemon: LabDaemon, project: string): Promise<unknown> {
  const listed = await call(daemon, "GET", `/1.0/instances?recursion=1&project=${project}`);
  return (listed as { name: string }[]).map(({ name }) => name);
}
