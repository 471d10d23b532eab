import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { GENERATIONS, type Generation, openLab } from "../lab/lab.ts";
import { changeContent, contentDigest, orphanSubvolumes } from "../lab/storage.ts";
import { createInstance, createVolume, deleteSnapshot, deleteUnit, takeSnapshot } from "../lab/workloads.ts";
import { type CopyLab, copyOf, ignore, openCopyLab, snapshotsOf } from "./copy-lab.ts";

const DRIVERS = ["btrfs", "dir"] as const;
const KINDS = ["instance", "filesystem", "block"] as const;
const MODES = ["pull", "push", "relay"] as const;
type Kind = (typeof KINDS)[number];
type Driver = (typeof DRIVERS)[number];

const lab = openLab();

async function make(copyLab: CopyLab, kind: Kind, driver: Driver, name: string): Promise<Unit> {
  const { source, project } = copyLab;
  const pool = source.pools[driver];
  if (kind === "instance") return createInstance(source, { project, name, pool, seed: name });
  return createVolume(source, {
    project,
    name,
    pool,
    contentType: kind,
    config: kind === "block" ? { size: "8MiB" } : {},
    seed: name,
  });
}

/** Every snapshot and the live state of the replica have the content that the source's have. */
async function expectEqual(copyLab: CopyLab, unit: Unit, target: Unit): Promise<void> {
  const names = (await snapshotsOf(copyLab.source, unit)).map(({ name }) => name);
  expect((await snapshotsOf(copyLab.target, target)).map(({ name }) => name)).toEqual(names);
  for (const name of [undefined, ...names]) {
    const [there, here] = [
      await contentDigest(copyLab.target, target, name),
      await contentDigest(copyLab.source, unit, name),
    ];
    expect(there, `${name ?? "live"}`).toBe(here);
  }
}

describe.each(GENERATIONS)("on Incus %s", (generation: Generation) => {
  let copyLab: CopyLab;
  beforeAll(async () => {
    copyLab = await openCopyLab(lab.incus[generation].source, lab.incus[generation].target);
  });
  afterAll(() => copyLab.close());

  const cases = MODES.flatMap((mode) => DRIVERS.flatMap((driver) => KINDS.map((kind) => ({ mode, driver, kind }))));
  test.each(cases)(
    "copy() in $mode mode makes and refreshes a replica: $kind on $driver",
    async ({ mode, driver, kind }) => {
      const signal = new AbortController().signal;
      const unit = await make(copyLab, kind, driver, `${mode}-${driver}-${kind}`);
      const copy = copyOf(mode, unit, copyLab.target.pools[driver], kind === "block" ? "block" : "filesystem");
      await takeSnapshot(copyLab.source, unit, "s1");
      await changeContent(copyLab.source, unit, "second");
      await copyLab.servers.copy(copy, ignore, signal);
      await expectEqual(copyLab, unit, copy.target);

      await takeSnapshot(copyLab.source, unit, "s2");
      await deleteSnapshot(copyLab.source, unit, "s1");
      await changeContent(copyLab.source, unit, "third");
      await copyLab.servers.copy(copy, ignore, signal);
      await expectEqual(copyLab, unit, copy.target);
      if (driver === "btrfs") expect(await orphanSubvolumes(copyLab.target, copyLab.target.pools.btrfs)).toEqual([]);
      await deleteUnit(copyLab.target, copy.target);
    },
  );
});
