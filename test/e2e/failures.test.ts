import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import { createTinyPool, deletePool } from "../lab/faults.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, sweepMigrations } from "../lab/storage.ts";
import { openTcpProxy, type TcpProxy } from "../lab/tcp-proxy.ts";
import { createInstance, createVolume, deleteUnit } from "../lab/workloads.ts";
import { Ledger, ownSnapshotNames } from "./ledger.ts";
import { openSite, type Site } from "./site.ts";

/** A project that takes all instances but those of more privilege. */
const STRICT = {
  "features.images": "false",
  "features.profiles": "true",
  "features.storage.volumes": "true",
  "features.storage.buckets": "true",
  restricted: "true",
  "restricted.snapshots": "allow",
  "restricted.containers.privilege": "unprivileged",
};
const PRIVILEGED = { "security.privileged": "true" };
const RETENTION = { hosts: { source: { default: "1" } } };

describe.each(GENERATIONS)("Incus %s: a copy fails", (generation) => {
  const { source, target } = openLab().incus[generation];
  let ledger: Ledger;
  let proxy: TcpProxy;
  let site: Site;
  let scratch: Scratch;

  beforeEach(async () => {
    const { hostname, port } = new URL(target.url);
    proxy = await openTcpProxy({ host: hostname, port: Number(port) });
    site = await openSite(generation, { urls: { target: `https://${proxy.host}:${proxy.port}` } });
    scratch = await openScratch(source, target);
    ledger = new Ledger();
  });
  afterEach(async () => {
    await scratch.close();
    await sweepMigrations(target, target.pools.btrfs);
    await site.close();
    await proxy.close();
  });

  /** A run, and what the source holds after it. */
  async function run(units: readonly Unit[]): Promise<number> {
    const { exitCode } = await site.iab(["run"]);
    for (const unit of units) await ledger.note(source, unit);
    return exitCode;
  }

  async function expectWhole(units: readonly Unit[]): Promise<void> {
    for (const unit of units) {
      expect(await ownSnapshotNames(source, unit)).toHaveLength(1);
      await ledger.expectEqual(source, unit, target);
    }
  }

  async function furnish(): Promise<[Unit, Unit]> {
    const { project } = scratch;
    return [
      await createVolume(source, {
        project,
        pool: source.pools.btrfs,
        name: "data",
        seed: "data",
        sizeBytes: 2_000_000,
      }),
      await createInstance(source, { project, name: "flat", pool: source.pools.dir, seed: "flat" }),
    ];
  }

  test("since the target is cut off: nothing is pruned anywhere, and the next run heals", async () => {
    const units = await furnish();
    const project = { name: scratch.project, mode: "relay", instances: [{ name: "flat" }] };
    const volumes = [{ name: "data", storage: source.pools.btrfs }];
    await site.writeConfig({ projects: [{ ...project, volumes }], retention: RETENTION });
    expect(await run(units)).toBe(0);
    const before = await Promise.all(units.map((unit) => ownSnapshotNames(target, unit)));
    for (const unit of units) await changeContent(source, unit, "more", 2_000_000);
    proxy.cutAfter(500_000, "to-server");
    void proxy.struck().then(() => proxy.heal());
    expect(await run(units)).toBe(3);
    for (const [at, unit] of units.entries()) {
      expect(await ownSnapshotNames(source, unit)).toEqual([...(before[at] ?? []), expect.stringMatching(/^IAB_/)]);
      expect(await ownSnapshotNames(target, unit)).toEqual(expect.arrayContaining(before[at] ?? []));
    }
    expect(await run(units)).toBe(0);
    await expectWhole(units);
  });

  test("since the target is full: the others go on, and the next run heals when there is room", async () => {
    const units = await furnish();
    const [data] = units;
    await createTinyPool(target, "tiny", 128);
    const replica = { ...data, pool: "tiny" } as Unit;
    try {
      const volumes = [{ name: "data", storage: source.pools.btrfs, targetStorage: "tiny" }];
      const project = { name: scratch.project, mode: "pull", instances: [{ name: "flat" }], volumes };
      await site.writeConfig({ projects: [project], retention: RETENTION });
      expect(await run(units)).toBe(0);
      await changeContent(source, data, "too much", 200_000_000);
      expect(await run(units)).toBe(3);
      expect(await ownSnapshotNames(source, data)).toHaveLength(2);
      expect(await ownSnapshotNames(target, replica)).toHaveLength(1);
      await expectWhole(units.slice(1));
      await call(target, "PATCH", "/1.0/storage-pools/tiny", { config: { size: "1GiB" } });
      expect(await run(units)).toBe(0);
      await ledger.expectEqual(source, data, target, replica);
    } finally {
      await deleteUnit(target, replica);
      await deletePool(target, "tiny");
    }
  });

  test("since the target refuses it: the others go on, and the next run heals when it does no more", async () => {
    const units = await furnish();
    const { project } = scratch;
    const second = await createInstance(source, { project, name: "second", seed: "second", config: PRIVILEGED });
    const targetProject = `${project}-strict`;
    await call(target, "POST", "/1.0/projects", { name: targetProject, config: STRICT });
    const all = [...units, second];
    const replicaOf = (unit: Unit): Unit => ({ ...unit, project: targetProject });
    try {
      const volumes = [{ name: "data", storage: source.pools.btrfs }];
      const projects = [{ name: project, targetProject, mode: "push", instances: [{ name: "*" }], volumes }];
      await site.writeConfig({ projects, retention: RETENTION });
      expect(await run(all)).toBe(3);
      for (const unit of units) await ledger.expectEqual(source, unit, target, replicaOf(unit));
      await call(target, "PUT", `/1.0/projects/${targetProject}`, { config: { ...STRICT, restricted: "false" } });
      expect(await run(all)).toBe(0);
      expect(await ownSnapshotNames(source, second)).toHaveLength(1);
      for (const unit of all) await ledger.expectEqual(source, unit, target, replicaOf(unit));
    } finally {
      for (const unit of all) await deleteUnit(target, replicaOf(unit)).catch(() => {});
      await call(target, "DELETE", `/1.0/projects/${targetProject}`);
    }
  });
});
