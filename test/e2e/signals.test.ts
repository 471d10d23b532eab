import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import { snapshotName } from "../../src/model/snapshot.ts";
import { type InstanceUnit, unitLabel, type VolumeUnit } from "../../src/model/unit.ts";
import { begin } from "../lab/daemon-api.ts";
import { GENERATIONS, type LabDaemon } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, sweepMigrations } from "../lab/storage.ts";
import { untilAtWork, untilIdle } from "../lab/work.ts";
import { createInstance, createVolume, startInstance, takeSnapshot } from "../lab/workloads.ts";
import type { AgentProcess } from "./agent-process.ts";
import { factsOf, Ledger, ownSnapshotNames } from "./ledger.ts";
import { buildAgent, type Ended, openSite, type Site } from "./site.ts";

const KEPT = 1;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
type Signal = (typeof SIGNALS)[number];
const CODES: Readonly<Record<Signal, number>> = { SIGINT: 130, SIGTERM: 143 };
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

  /** A run that hears a signal at a certain moment, and ends in good order. */
  async function interrupted(signal: Signal, moment: (agent: AgentProcess) => Promise<void>): Promise<Ended> {
    const agent = site.start(DEBUG);
    await moment(agent);
    const signalled = Date.now();
    agent.kill(signal);
    const ended = await agent.ended;
    expect(ended, ended.stderr).toMatchObject({
      exitCode: CODES[signal],
      stdout: expect.stringContaining("the run was ended before"),
      stderr: expect.stringContaining(signal),
    });
    expect(Date.now() - signalled).toBeLessThan(40_000);
    await expectStarted();
    return ended;
  }

  test("while an instance is asked to stop, and while it is down: it is started again, and nothing is sent", async () => {
    const before = await listOf(site.target);
    const moments: readonly (readonly [Signal, () => Promise<void>])[] = [
      ["SIGTERM", () => untilMarked(site, box)],
      ["SIGINT", () => untilDown(site, box)],
    ];
    for (const [signal, moment] of moments) {
      const { stderr } = await interrupted(signal, async (agent) => {
        await agent.heard(/"snapshot:[^"]*box","event":"step.began"/);
        await moment();
      });
      expect(stderr).not.toMatch(/"copy:[^"]*","event":"step.began"/);
    }
    expect(await listOf(site.target)).toEqual(before);
    await expectWholeRun();
  });

  test("while data is on its way: both servers let go of it, and nothing is pruned", async () => {
    await changeContent(site.source, data, "much", 1_500_000);
    const before = await ownSnapshotNames(site.source, data);
    for (const signal of SIGNALS) {
      await interrupted(signal, async (agent) => {
        await agent.heard(/"copy:[^"]*data","event":"step.began"/);
        await untilAtWork(site.target, /volume/i);
        // What nobody has connected to yet takes Incus 6.0 half a minute to give up.
        await setTimeout(1500);
      });
      // Incus 6.0 lets a source's end not be cancelled: it ends by itself, since nobody is there any more.
      for (const daemon of [site.source, site.target]) await untilIdle(daemon, /volume|instance/i);
    }
    expect(await ownSnapshotNames(site.source, data)).toEqual(expect.arrayContaining(before));
    await expectWholeRun();
  });

  test("while snapshots are deleted: the target never lacks what the source has", async () => {
    for (const signal of SIGNALS) {
      for (const _ of [1, 2, 3]) {
        // No two within one second, which are one to a refresh.
        await setTimeout(1001 - (Date.now() % 1000));
        await takeSnapshot(site.source, data, snapshotName(Date.now()));
      }
      await interrupted(signal, (agent) => agent.heard(/"prune-source:[^"]*data","event":"step.began"/));
      const there = await ownSnapshotNames(site.target, data);
      expect(there).toEqual(expect.arrayContaining(await ownSnapshotNames(site.source, data)));
    }
    await expectWholeRun();
  });

  test.each(SIGNALS)("a second %s ends it at once, and the next run starts what stayed down", async (signal) => {
    const agent = site.start(DEBUG);
    await agent.heard(/"snapshot:[^"]*box","event":"step.began"/);
    await untilMarked(site, box);
    agent.kill(signal);
    await agent.heard(new RegExp(signal));
    const signalled = Date.now();
    agent.kill(signal);
    expect((await agent.ended).exitCode).toBe(CODES[signal]);
    expect(Date.now() - signalled).toBeLessThan(1000);
    expect((await factsOf(site.source, box)).config["user.iab.stopped"]).toMatch(/^IAB_/);
    await expectWholeRun();
  });

  test("a run that follows one whose transfer has not ended waits for it, and a plan says so", async () => {
    const letGo = await awaitNobody(site, box, site.target.pools.dir);
    expect((await site.iab(["plan"])).stdout).toContain(`the target is at work on its replica ${unitLabel(box)}`);
    const agent = site.start(DEBUG);
    await agent.heard(/"event":"target.busy"/);
    await letGo();
    expect(await agent.ended).toMatchObject({ exitCode: 0 });
    await expectStarted();
  });
});

async function untilMarked({ source }: Site, unit: InstanceUnit): Promise<void> {
  while ((await factsOf(source, unit)).config["user.iab.stopped"] === undefined);
}

async function untilDown({ source }: Site, unit: InstanceUnit): Promise<void> {
  while ((await factsOf(source, unit)).status !== "Stopped");
}

const Sink = z.object({ id: z.string(), metadata: z.object({ control: z.string(), fs: z.string() }) });

/** A replica's server that waits for somebody to send it a copy; gives how to disappoint it. */
async function awaitNobody(
  { target }: Site,
  { name, project }: InstanceUnit,
  pool: string,
): Promise<() => Promise<void>> {
  const source = { type: "migration", mode: "push", refresh: true, refresh_exclude_older: true };
  const devices = { root: { type: "disk", path: "/", pool } };
  const body = { name, type: "container", architecture: "x86_64", profiles: [], config: {}, devices, source };
  const { id, metadata } = Sink.parse(await begin(target, "POST", `/1.0/instances?project=${project}`, body));
  return async () => {
    for (const secret of [metadata.control, metadata.fs]) {
      const socket = new WebSocket(`ws+unix://${target.socket}:/1.0/operations/${id}/websocket?secret=${secret}`);
      await once(socket, "open");
      socket.terminate();
    }
  };
}
