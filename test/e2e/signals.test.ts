import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InstanceUnit, VolumeUnit } from "../../src/model/unit.ts";
import { GENERATIONS, type LabDaemon } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, sweepMigrations } from "../lab/storage.ts";
import { untilAtWork, untilIdle } from "../lab/work.ts";
import { createInstance, createVolume, startInstance } from "../lab/workloads.ts";
import { factsOf, Ledger, ownSnapshotNames } from "./ledger.ts";
import { buildAgent, openSite, type Site } from "./site.ts";

const KEPT = 1;
const DEBUG = ["run", "--log-level", "debug", "--log-format", "json"];

beforeAll(buildAgent);

describe.each(GENERATIONS)("Incus %s: a signal ends a run", (generation) => {
  const ledger = new Ledger();
  let site: Site;
  let scratch: Scratch;
  let box: InstanceUnit;
  let data: VolumeUnit;

  /** A running container that takes two seconds to stop, and a volume whose changes take ten to relay. */
  beforeAll(async () => {
    site = await openSite(generation);
    scratch = await openScratch(site.source, site.target);
    const { project } = scratch;
    const { btrfs, dir } = site.source.pools;
    const config = { "boot.host_shutdown_timeout": "2" };
    box = await createInstance(site.source, { project, name: "box", pool: dir, seed: "box", config });
    data = await createVolume(site.source, { project, pool: btrfs, name: "data", seed: "data" });
    await startInstance(site.source, box);
    await site.writeConfig({
      iab: { stopInstance: true, bandwidthLimit: "300KB/s" },
      projects: [
        { name: project, mode: "relay", instances: [{ name: "box" }], volumes: [{ name: "data", storage: btrfs }] },
      ],
      retention: { hosts: { source: { default: String(KEPT) } } },
    });
    await expectWholeRun();
  });

  afterAll(async () => {
    await scratch?.close();
    for (const daemon of [site.source, site.target]) await sweepMigrations(daemon, daemon.pools.btrfs);
    await site?.close();
  });

  /** Nothing hinders the next run: the lock is free, no server is at work any more, and it puts all right. */
  async function expectWholeRun(): Promise<void> {
    const ended = await site.iab(["run"]);
    const lists = JSON.stringify([await listOf(site.source), await listOf(site.target)]);
    expect(ended, ended.stdout + lists).toMatchObject({ exitCode: 0, stderr: "" });
    await expectStarted();
    for (const unit of [box, data]) {
      await ledger.note(site.source, unit);
      expect(await ownSnapshotNames(site.source, unit)).toHaveLength(KEPT);
      await ledger.expectEqual(site.source, unit, site.target);
    }
  }

  async function expectStarted(): Promise<void> {
    const { status, config } = await factsOf(site.source, box);
    expect({ status, mark: config["user.iab.stopped"] }).toEqual({ status: "Running", mark: undefined });
  }

  const listOf = async (daemon: LabDaemon) => [
    await ownSnapshotNames(daemon, box),
    await ownSnapshotNames(daemon, data),
  ];

  test("SIGTERM while an instance is asked to stop: it is started again, and nothing is sent", async () => {
    const before = await listOf(site.target);
    const agent = site.start(DEBUG);
    await agent.heard(/"snapshot:[^"]*box","event":"step.began"/);
    await untilMarked(site, box);
    agent.kill("SIGTERM");
    const { exitCode, stdout, stderr } = await agent.ended;
    expect(exitCode, stderr).toBe(143);
    expect(stdout).toMatch(/CANCELLED/);
    expect(stderr).toContain("SIGTERM");
    expect(stderr).not.toMatch(/"copy:[^"]*","event":"step.began"/);
    await expectStarted();
    expect(await listOf(site.target)).toEqual(before);
    await expectWholeRun();
  });

  test("SIGINT while data is on its way: both servers let go of it, and nothing is pruned", async () => {
    await changeContent(site.source, data, "much-1", 3_000_000);
    const before = await listOf(site.source);
    const agent = site.start(DEBUG);
    await agent.heard(/"copy:[^"]*data","event":"step.began"/);
    await untilAtWork(site.target, /volume/i);
    const signalled = Date.now();
    agent.kill("SIGINT");
    const { exitCode, stdout, stderr } = await agent.ended;
    expect(exitCode, stderr).toBe(130);
    expect(Date.now() - signalled).toBeLessThan(40_000);
    expect(stdout).toMatch(/CANCELLED/);
    // Incus 6.0 lets a source's end not be cancelled: it ends by itself, since nobody is there any more.
    for (const daemon of [site.source, site.target]) await untilIdle(daemon, /volume|instance/i);
    const after = await listOf(site.source);
    for (const [at, names] of before.entries()) expect(after[at]).toEqual(expect.arrayContaining(names));
    await expectStarted();
    await expectWholeRun();
  });

  test("a second signal ends it at once, and the next run starts what stayed down", async () => {
    const agent = site.start(DEBUG);
    await agent.heard(/"snapshot:[^"]*box","event":"step.began"/);
    await untilMarked(site, box);
    agent.kill("SIGTERM");
    await agent.heard(/SIGTERM/);
    const signalled = Date.now();
    agent.kill("SIGTERM");
    expect((await agent.ended).exitCode).toBe(143);
    expect(Date.now() - signalled).toBeLessThan(1000);
    expect((await factsOf(site.source, box)).config["user.iab.stopped"]).toMatch(/^IAB_/);
    await expectWholeRun();
  });
});

async function untilMarked({ source }: Site, unit: InstanceUnit): Promise<void> {
  while ((await factsOf(source, unit)).config["user.iab.stopped"] === undefined);
}
