import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InstanceUnit, Unit } from "../../src/model/unit.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, orphanSubvolumes, sweepMigrations } from "../lab/storage.ts";
import { openTcpProxy, type TcpProxy } from "../lab/tcp-proxy.ts";
import { untilIdle } from "../lab/work.ts";
import { createInstance, createVolume, startInstance, takeSnapshot } from "../lab/workloads.ts";
import { factsOf, Ledger, ownSnapshotNames, snapshotNames } from "./ledger.ts";
import { buildAgent, openSite, type Site } from "./site.ts";

const POINTS = 20;
const KEPT = 2;
const SIDES = ["source", "target"] as const;
type Proxies = Readonly<Record<(typeof SIDES)[number], TcpProxy>>;

beforeAll(buildAgent);

describe.each(GENERATIONS)(`Incus %s: kill -9 at ${POINTS} points of a run`, (generation) => {
  const { source, target } = openLab().incus[generation];
  const ledger = new Ledger();
  let proxies: Proxies;
  let scratches: Scratch[];
  let site: Site;
  let box: InstanceUnit;
  let units: Unit[];

  beforeAll(async () => {
    proxies = { source: await proxyTo(source.url), target: await proxyTo(target.url) };
    site = await openSite(generation, { urls: { source: urlOf(proxies.source), target: urlOf(proxies.target) } });
    scratches = [await openScratch(source, target), await openScratch(source, target)];
    const [pulled = "", relayed = ""] = scratches.map(({ project }) => project);
    const { btrfs, dir } = source.pools;
    const config = { "boot.host_shutdown_timeout": "1" };
    box = await createInstance(source, { project: pulled, name: "box", pool: dir, seed: "box", config });
    units = [box, await createVolume(source, { project: relayed, pool: btrfs, name: "data", seed: "data" })];
    for (const unit of units) await takeSnapshot(source, unit, "by-hand");
    await startInstance(source, box);
    await site.writeConfig({
      iab: { stopInstance: true },
      projects: [
        { name: pulled, mode: "pull", instances: [{ name: "box" }] },
        { name: relayed, mode: "relay", volumes: [{ name: "data", storage: btrfs }] },
      ],
      retention: { hosts: { source: { default: String(KEPT) } } },
    });
  });

  afterAll(async () => {
    for (const { close } of scratches) await close();
    await site.close();
    for (const side of SIDES) await proxies[side].close();
  });

  /** A run that lives to its end, and all that must be true after it. */
  async function expectConvergence(): Promise<void> {
    const ended = await site.iab(["run"]);
    expect(ended.exitCode, ended.stdout + ended.stderr).toBe(0);
    const { config, status } = await factsOf(source, box);
    expect({ status, stopped: config["user.iab.stopped"] }).toEqual({ status: "Running", stopped: undefined });
    for (const unit of units) {
      await ledger.note(source, unit);
      expect(await snapshotNames(source, unit)).toContain("by-hand");
      expect(await ownSnapshotNames(source, unit)).toHaveLength(KEPT);
      await ledger.expectEqual(source, unit, target);
      await changeContent(source, unit, `after-${ended.stdout.length}-${Math.random()}`);
    }
  }

  test("the next run converges: nothing stays stopped, nothing foreign is touched, nothing is lost", async () => {
    await site.iab(["run"]);
    await expectConvergence();
    const before = bytesThrough(proxies);
    await expectConvergence();
    const total = bytesThrough(proxies);
    for (let point = 0; point < POINTS; point += 1) {
      // Each half of the points lies on the way to one of the servers, evenly from the first request to the last.
      const side = SIDES[point % 2] ?? "source";
      const bytes = Math.floor(((total[side] - before[side]) * (point + 1)) / (POINTS + 1));
      proxies[side].stallAfter(bytes, "to-server");
      const agent = site.start(["run"]);
      await Promise.race([proxies[side].struck(), agent.ended]);
      agent.kill("SIGKILL");
      await agent.ended;
      proxies[side].heal();
      // The server goes on with a snapshot that it has begun, and lists it before it holds anything.
      await untilIdle(source, /snapshot/i);
      for (const unit of units) await ledger.note(source, unit);
      await expectConvergence();
    }
    for (const daemon of [source, target]) {
      await sweepMigrations(daemon, daemon.pools.btrfs);
      expect(await orphanSubvolumes(daemon, daemon.pools.btrfs)).toEqual([]);
    }
  });
});

function proxyTo(url: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(url);
  return openTcpProxy({ host: hostname, port: Number(port) });
}

function urlOf({ host, port }: TcpProxy): string {
  return `https://${host}:${port}`;
}

function bytesThrough(proxies: Proxies): Readonly<Record<(typeof SIDES)[number], number>> {
  return { source: proxies.source.bytes("to-server"), target: proxies.target.bytes("to-server") };
}
