import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unitId } from "../../src/model/unit.ts";
import { byHand } from "../e2e/by-hand.ts";
import type { Listed } from "../e2e/ledger.ts";
import { type Expected, expectedAfter } from "../e2e/mirror-model.ts";
import { configOf, type Mirrored, POLICIES, policiesOf, Report } from "../e2e/mirrored.ts";
import { openSiteBetween, type Site } from "../e2e/site.ts";
import { GENERATIONS, type Generation } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { deleteSnapshot, deleteUnit, takeSnapshot } from "../lab/workloads.ts";
import {
  datasetOf,
  datasetsBelow,
  digestsOf,
  openZfsLab,
  type PoolKind,
  type ZfsDaemon,
  zfsCommandsDuring,
} from "./guest.ts";
import { destroyedDatasets, fullSends, ghostsOf } from "./transfers.ts";
import {
  createUnit,
  digestOfSeed,
  type Kind,
  listedSnapshots,
  readAll,
  storedSnapshots,
  workloadOf,
  writeAll,
  type ZfsWorkload,
} from "./workloads.ts";

/** Every deed of `byHand()` comes to each workload within eleven runs. */
const RUNS = Number(process.env["IAB_ZFS_RUNS"] ?? 30);

type Case = { readonly kind: Kind; readonly pool: PoolKind; readonly policies: string };

// Both generations together have every kind on both pools, and each has every relation of the policies.
const CASES: Readonly<Record<Generation, readonly Case[]>> = {
  "6.0": [
    { kind: "instance", pool: "zfs", policies: "shorter" },
    { kind: "filesystem", pool: "zfsEncrypted", policies: "longer" },
    { kind: "block", pool: "zfsEncrypted", policies: "equal" },
  ],
  "7.0": [
    { kind: "instance", pool: "zfsEncrypted", policies: "longer" },
    { kind: "filesystem", pool: "zfs", policies: "shorter" },
    { kind: "block", pool: "zfs", policies: "equal" },
  ],
};

/** The snapshots of both sides, as they ought to be: asking the servers for them is what takes the time here. */
type Lists = { readonly source: readonly Listed[]; readonly target: readonly Listed[] };

type Workload = ZfsWorkload & Mirrored & { lists: Lists };

describe.each(GENERATIONS)("Incus %s: thirty runs on ZFS, plain and encrypted", (generation) => {
  const workloads: Workload[] = [];
  let site: Site<ZfsDaemon>;
  let scratch: Scratch;

  beforeAll(async () => {
    site = await openSiteBetween(openZfsLab().incus[generation]);
    scratch = await openScratch(site.source, site.target);
    // A refresh looks for the newest GUID of both sides from 7.0.1 on, and not at all in 6.0.
    for (const each of CASES[generation])
      workloads.push(await furnish(site, scratch.project, each, generation === "7.0"));
    await site.writeConfig({ iab: { concurrency: 3 }, ...configOf(scratch.project, workloads) });
  });

  afterAll(async () => {
    await scratch?.close();
    await site?.close();
  });

  test("after every run both sides list and store what the policies say, and only increments are sent", async ({
    signal,
  }) => {
    for (let run = 1; run <= RUNS; run += 1) {
      const all = await zfsCommandsDuring(async () => {
        if (run > 1) await disturb(site, workloads, run, signal);
        await writeAll(
          site.source,
          workloads.map((workload) => ({ workload, seed: `run-${run}` })),
          signal,
        );
        await runOnce(site, workloads, run, signal);
      }, signal);
      const commands = all.filter(({ words }) => words.some((word) => word.includes(scratch.project)));
      if (run > 1) expect(fullSends(commands), `run ${run}`).toEqual([]);
      expect(destroyedDatasets(commands), `run ${run}`).toEqual([]);
    }
  });

  test("every snapshot on either side holds what the source held when it was taken, and so does the replica", async ({
    signal,
  }) => {
    for (const side of ["source", "target"] as const) {
      const held = workloads.flatMap((workload) =>
        workload.lists[side].map(({ name }) => ({ workload, snapshot: name })),
      );
      const digests = await readAll(site[side], held, signal);
      const found = held.map(({ workload, snapshot }, at) => [workload.unit.name, snapshot, digests[at]]);
      expect(found).toEqual(
        held.map(({ workload, snapshot }) => [workload.unit.name, snapshot, workload.digests.get(snapshot)]),
      );
    }
    // Those are of one file each; and of all the rest, in the newest snapshot and the live data:
    for (const { unit, pool, lists } of workloads) {
      const [from, to] = [datasetOf(site.source, pool, unit), datasetOf(site.target, pool, unit)];
      const newest = lists.target.at(-1)?.name;
      const found = await digestsOf([`${from}@snapshot-${newest}`, `${to}@snapshot-${newest}`, to], signal);
      expect(new Set(found).size, unit.name).toBe(1);
    }
    for (const { unit } of workloads) expect(await ghostsOf(site.target, unit)).toEqual([]);
  });

  test("every replica can be deleted, and nothing of it is left", async ({ signal }) => {
    for (const { replica } of workloads) await deleteUnit(site.target, replica);
    for (const pool of ["zfs", "zfsEncrypted"] as const) {
      const left = await datasetsBelow(`${site.target.zpools[pool]}/incus`, signal);
      expect(left.filter(({ name }) => name.includes(scratch.project))).toEqual([]);
    }
  });
});

/** One run, and all that the servers and ZFS must say after it. Every third run has the target follow the source. */
async function runOnce(
  site: Site<ZfsDaemon>,
  workloads: readonly Workload[],
  run: number,
  signal: AbortSignal,
): Promise<void> {
  const iosFix = run % 3 === 0;
  const ended = await site.iab(["run", "-f", "json", `--iOSfix=${iosFix}`]);
  expect(ended.stderr).toBe("");
  const report = Report.parse(JSON.parse(ended.stdout));
  const at = { name: report.run, at: Date.parse(report.startedAt) };
  const judged = workloads.map((workload) => {
    const { unit, gapSafe, lists } = workload;
    const expected = expectedAfter({ ...lists, policies: policiesOf(workload, iosFix), gapSafe, run: at });
    return { workload, expected, story: `run ${run}, ${unit.name}: ${JSON.stringify(lists)}: ${ended.stdout}` };
  });
  for (const { workload, expected, story } of judged) {
    const isSkipped = report.skipped.some(({ workload: id }) => id === unitId(workload.unit));
    expect(isSkipped, story).toBe(expected.refused);
  }
  await expectStored(site, judged, signal);
  for (const { workload, expected } of judged) {
    workload.lists = after(workload.lists, expected, at);
    workload.digests.set(report.run, digestOfSeed(workload, `run-${run}`));
    // Where a gap does harm the agent leaves the workload alone, and a person deletes the same on the source.
    for (const name of expected.refused ? expected.gaps : []) await remove(site.source, workload, name);
  }
  const refused = judged.filter(({ expected }) => expected.refused);
  const notDone = report.outcomes.filter(({ state }) => state !== "done");
  expect({ run, notDone, exitCode: ended.exitCode }).toEqual({
    run,
    notDone: [],
    exitCode: refused.length > 0 ? 3 : 0,
  });
}

async function furnish(
  { source, target }: Site<ZfsDaemon>,
  project: string,
  { kind, pool, policies }: Case,
  gapSafe: boolean,
): Promise<Workload> {
  const pair = POLICIES[policies];
  if (pair === undefined) throw new Error(`No policies ${policies}`);
  const name = `${kind}-${pool.toLowerCase()}-${policies}`;
  const workload = workloadOf(source, { project, name, kind, pool });
  await createUnit(source, workload, "1MiB");
  const lists = { source: [], target: [] };
  const targetPool = target.pools[pool];
  return { ...workload, replica: workload.unit, targetPool, policies: pair, gapSafe, digests: new Map(), lists };
}

/** What a person does between two runs. */
async function disturb(
  { source, target }: Site<ZfsDaemon>,
  workloads: readonly Workload[],
  run: number,
  signal: AbortSignal,
): Promise<void> {
  const seed = `by-hand-${run}`;
  const deeds = workloads.map((workload, index) => {
    const { lists } = workload;
    return { workload, deed: byHand(run, index, { source: namesOf(lists.source), target: namesOf(lists.target) }) };
  });
  const takers = deeds.filter(({ deed }) => deed.takes).map(({ workload }) => workload);
  await writeAll(
    source,
    takers.map((workload) => ({ workload, seed })),
    signal,
  );
  for (const { workload, deed } of deeds) {
    for (const name of deed.source) await remove(source, workload, name);
    for (const name of deed.target) await remove(target, workload, name);
    if (!deed.takes) continue;
    await takeSnapshot(source, workload.unit, seed);
    const { lists } = workload;
    workload.digests.set(seed, digestOfSeed(workload, seed));
    workload.lists = { ...lists, source: [...lists.source, { name: seed, at: Date.now() }] };
  }
}

async function remove(daemon: ZfsDaemon, workload: Workload, name: string): Promise<void> {
  const { lists } = workload;
  await deleteSnapshot(daemon, workload.unit, name);
  workload.lists = { ...lists, [daemon.side]: lists[daemon.side].filter((each) => each.name !== name) };
}

type Judged = { readonly workload: Workload; readonly expected: Expected; readonly story: string };

/** Both servers list what is expected, ZFS has that and no more, and takes those of both sides for the same. */
async function expectStored(
  { source, target }: Site<ZfsDaemon>,
  judged: readonly Judged[],
  signal: AbortSignal,
): Promise<void> {
  const workloads = judged.map(({ workload }) => workload);
  const [onSources, onTargets] = await Promise.all([
    storedSnapshots(source, workloads, signal),
    storedSnapshots(target, workloads, signal),
  ]);
  for (const [index, { workload, expected, story }] of judged.entries()) {
    const { unit } = workload;
    const listed = { source: await listedSnapshots(source, unit), target: await listedSnapshots(target, unit) };
    const [onSource = new Map(), onTarget = new Map()] = [onSources[index], onTargets[index]];
    expect(listed, story).toEqual({ source: sorted(expected.source), target: sorted(expected.target) });
    expect({ source: sorted(onSource.keys()), target: sorted(onTarget.keys()) }, story).toEqual(listed);
    for (const [name, guid] of onTarget) expect([name, guid], story).toEqual([name, onSource.get(name) ?? guid]);
  }
}

function sorted(names: Iterable<string>): string[] {
  return [...names].sort();
}

/** The lists that are expected after a run, with the dates that were known before it. */
function after({ source, target }: Lists, expected: Expected, run: Listed): Lists {
  const dates = new Map([...source, ...target, run].map(({ name, at }) => [name, at]));
  const dated = (names: readonly string[]) => names.map((name) => ({ name, at: dates.get(name) ?? 0 }));
  return { source: dated(expected.source), target: dated(expected.target) };
}

function namesOf(list: readonly Listed[]): string[] {
  return list.map(({ name }) => name);
}
