import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Unit, unitId } from "../../src/model/unit.ts";
import { GENERATIONS, type LabDaemon } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, contentDigest, contentPath, orphanSubvolumes } from "../lab/storage.ts";
import { createInstance, createVolume, deleteSnapshot, deleteUnit, takeSnapshot } from "../lab/workloads.ts";
import { BROKEN_BY_INCUS } from "./broken-by-incus.ts";
import { byHand } from "./by-hand.ts";
import { listSnapshots, snapshotNames } from "./ledger.ts";
import { expectedAfter } from "./mirror-model.ts";
import { configOf, type Mirrored, POLICIES, policiesOf, Report } from "./mirrored.ts";
import { openSite, type Site } from "./site.ts";

const RUNS = 30;
const BYTES = 20_000;
const PATIENCE = { timeout: 1_800_000 };

// Every relation of the policies where a gap does harm, and two of them on each pair where it does none.
const CASES = [
  { from: "btrfs", to: "btrfs", policies: "equal", kind: "volume" },
  { from: "btrfs", to: "btrfs", policies: "shorter", kind: "instance" },
  { from: "btrfs", to: "btrfs", policies: "longer", kind: "volume" },
  { from: "btrfs", to: "btrfs", policies: "dated", kind: "instance" },
  { from: "btrfs", to: "dir", policies: "shorter", kind: "volume" },
  { from: "btrfs", to: "dir", policies: "longer", kind: "instance" },
  { from: "dir", to: "btrfs", policies: "shorter", kind: "instance" },
  { from: "dir", to: "btrfs", policies: "dated", kind: "volume" },
  { from: "dir", to: "dir", policies: "equal", kind: "instance" },
  { from: "dir", to: "dir", policies: "shorter", kind: "volume" },
] as const;

type Workload = Mirrored & {
  /** When and where each snapshot of the replica was written. */
  stamps: ReadonlyMap<string, string>;
};

describe.each(GENERATIONS)("Incus %s: thirty runs on btrfs and dir, with policies of all kinds", (generation) => {
  const workloads: Workload[] = [];
  let site: Site;
  let scratch: Scratch;

  beforeAll(async () => {
    site = await openSite(generation);
    scratch = await openScratch(site.source, site.target);
    for (const each of CASES) workloads.push(await furnish(site, scratch.project, each));
    await site.writeConfig(configOf(scratch.project, workloads));
  });

  afterAll(async () => {
    await scratch?.close();
    await site?.close();
  });

  test("after every run both sides list what the policies say, and nothing is sent twice", PATIENCE, async () => {
    let isBroken = false;
    for (let run = 1; run <= RUNS || isBroken; run += 1) {
      if (run > 1) await disturb(site, workloads, run);
      const { refused, broken } = await runOnce(site, workloads, run);
      isBroken = broken.length > 0;
      await heal(site, refused);
      for (const daemon of [site.source, site.target])
        expect(await orphanSubvolumes(daemon, daemon.pools.btrfs), `${daemon.side}, run ${run}`).toEqual([]);
    }
  });

  test(
    "every snapshot on either side holds what the source held when it was taken, and so does the replica",
    PATIENCE,
    async () => {
      for (const { unit, replica, digests } of workloads) {
        expect(new Set(digests.values()).size, unit.name).toBe(digests.size);
        await expectContent(site.source, unit, digests);
        await expectContent(site.target, replica, digests);
        const newest = (await snapshotNames(site.target, replica)).at(-1) ?? "";
        expect(await contentDigest(site.target, replica), unit.name).toBe(digests.get(newest));
      }
    },
  );

  test("every replica can be deleted, and nothing of it is left", async () => {
    for (const { replica } of workloads) {
      const folder = dirname(await snapshotsFolder(site.target, replica));
      await deleteUnit(site.target, replica);
      expect((await readdir(folder)).filter((name) => name === `${replica.project}_${replica.name}`)).toEqual([]);
    }
    expect(await orphanSubvolumes(site.target, site.target.pools.btrfs)).toEqual([]);
  });
});

async function furnish(
  { source, target }: Site,
  project: string,
  { from, to, policies, kind }: (typeof CASES)[number],
): Promise<Workload> {
  const pair = POLICIES[policies];
  if (pair === undefined) throw new Error(`No policies ${policies}`);
  const name = `${from}-${to}-${policies}`;
  const wanted = { project, name, pool: source.pools[from], seed: name, sizeBytes: BYTES };
  const unit = kind === "instance" ? await createInstance(source, wanted) : await createVolume(source, wanted);
  const targetPool = target.pools[to];
  const replica = unit.kind === "instance" ? unit : { ...unit, pool: targetPool };
  const gapSafe = from !== to || from === "dir";
  return { unit, replica, targetPool, policies: pair, gapSafe, digests: new Map(), stamps: new Map() };
}

/** What a person does between two runs. */
async function disturb(site: Site, workloads: readonly Workload[], run: number): Promise<void> {
  const { source, target } = site;
  for (const [index, workload] of workloads.entries()) {
    const { unit, replica, digests } = workload;
    const lists = await listedNames(site, workload);
    const deed = byHand(run, index, lists);
    for (const name of deed.source) await deleteSnapshot(source, unit, name);
    for (const name of deed.target) await deleteSnapshot(target, replica, name);
    workload.stamps = new Map([...workload.stamps].filter(([name]) => !deed.target.includes(name)));
    if (!deed.takes) continue;
    await changeContent(source, unit, `by-hand-${run}`, BYTES);
    digests.set(`by-hand-${run}`, await contentDigest(source, unit));
    await takeSnapshot(source, unit, `by-hand-${run}`);
  }
}

type Refused = { readonly workload: Workload; readonly gaps: readonly string[] };
type Ran = { readonly refused: readonly Refused[]; readonly broken: readonly string[] };

/** One run with changed content, and all that must be true after it. Every third run has the target follow the source. */
async function runOnce(site: Site, workloads: readonly Workload[], run: number): Promise<Ran> {
  const before = [];
  for (const workload of workloads) {
    await changeContent(site.source, workload.unit, `run-${run}`, BYTES);
    const source = await listSnapshots(site.source, workload.unit);
    const target = run === 1 ? [] : await listSnapshots(site.target, workload.replica);
    before.push({ workload, source, target, head: await contentDigest(site.source, workload.unit) });
  }
  const iosFix = run % 3 === 0;
  const ended = await site.iab(["run", "-f", "json", `--iOSfix=${iosFix}`]);
  expect(ended.stderr).toBe("");
  const report = Report.parse(JSON.parse(ended.stdout));
  const refused: Refused[] = [];
  const broken = report.outcomes.flatMap(({ workload, error }) =>
    BROKEN_BY_INCUS.test(error?.message ?? "") ? [workload] : [],
  );
  for (const { workload, source, target, head } of before) {
    const { gapSafe } = workload;
    const policies = policiesOf(workload, iosFix);
    const at = { name: report.run, at: Date.parse(report.startedAt) };
    const expected = expectedAfter({ source, target, policies, gapSafe, run: at });
    const label = `run ${run}, ${workload.unit.name}: ${JSON.stringify({ source, target, skipped: report.skipped })}`;
    expect(
      report.skipped.some(({ workload: id }) => id === unitId(workload.unit)),
      label,
    ).toBe(expected.refused);
    if (expected.refused) refused.push({ workload, gaps: expected.gaps });
    else workload.digests.set(report.run, head);
    if (broken.includes(unitId(workload.unit))) {
      expect(await listedNames(site, workload), label).toEqual({
        source: [...source.map(({ name }) => name), report.run],
        target: target.map(({ name }) => name),
      });
    } else await expectLists(site, workload, expected, label);
  }
  const notDone = report.outcomes.filter(({ state, workload }) => state !== "done" && !broken.includes(workload));
  expect({ run, notDone, exitCode: ended.exitCode }).toEqual({
    run,
    notDone: [],
    exitCode: refused.length + broken.length > 0 ? 3 : 0,
  });
  return { refused, broken };
}

type Names = { readonly source: readonly string[]; readonly target: readonly string[] };

/** Both servers list these, store these and no others, and what the replica had already was not written again. */
async function expectLists(site: Site, workload: Workload, expected: Names, label: string) {
  const { source, target } = site;
  const { unit, replica, stamps } = workload;
  const lists = await listedNames(site, workload);
  expect(lists, label).toEqual({ source: expected.source, target: expected.target });
  for (const [daemon, each, names] of [[source, unit, lists.source] as const, [target, replica, lists.target] as const])
    expect((await readdir(await snapshotsFolder(daemon, each))).sort(), label).toEqual([...names].sort());
  const now = await stampsOf(target, replica, lists.target);
  for (const [name, stamp] of now) expect([name, stamp], label).toEqual([name, stamps.get(name) ?? stamp]);
  workload.stamps = now;
}

async function listedNames({ source, target }: Site, { unit, replica }: Workload): Promise<Names> {
  return { source: await snapshotNames(source, unit), target: await snapshotNames(target, replica) };
}

/** When and where each snapshot's content was written: a snapshot that is sent again has another. */
async function stampsOf(daemon: LabDaemon, unit: Unit, names: readonly string[]): Promise<Map<string, string>> {
  const stamps = new Map<string, string>();
  for (const name of names) {
    const facts = await stat(join(await contentPath(daemon, unit, name), "data", "common"), { bigint: true });
    stamps.set(name, `${facts.ino} ${facts.ctimeNs}`);
  }
  return stamps;
}

async function snapshotsFolder(daemon: LabDaemon, unit: Unit): Promise<string> {
  const path = await contentPath(daemon, unit, "any");
  return unit.kind === "instance" ? dirname(dirname(path)) : dirname(path);
}

/** Where a gap does harm the agent leaves the workload alone, and a person deletes the same on the source. */
async function heal({ source }: Site, refused: readonly Refused[]): Promise<void> {
  for (const { workload, gaps } of refused) {
    expect(gaps.length).toBeGreaterThan(0);
    for (const name of gaps) await deleteSnapshot(source, workload.unit, name);
  }
}

async function expectContent(daemon: LabDaemon, unit: Unit, digests: ReadonlyMap<string, string>): Promise<void> {
  for (const name of await snapshotNames(daemon, unit)) {
    const digest = await contentDigest(daemon, unit, name);
    expect([daemon.side, unit.name, name, digest]).toEqual([daemon.side, unit.name, name, digests.get(name)]);
  }
}
