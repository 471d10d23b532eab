import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type Unit, unitId } from "../../src/model/unit.ts";
import { byHand } from "../e2e/by-hand.ts";
import { listSnapshots, snapshotNames } from "../e2e/ledger.ts";
import { expectedAfter } from "../e2e/mirror-model.ts";
import { configOf, type Mirrored, POLICIES, policiesOf, Report } from "../e2e/mirrored.ts";
import { openSiteBetween, type Site } from "../e2e/site.ts";
import { bytesOf } from "../lab/content.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { deleteSnapshot, deleteUnit, takeSnapshot } from "../lab/workloads.ts";
import {
  datasetOf,
  datasetsBelow,
  digestsOf,
  openZfsLab,
  type PoolKind,
  writeInto,
  type ZfsCommand,
  type ZfsDaemon,
  zfsCommandsDuring,
  zfsSnapshot,
} from "./guest.ts";

const RUNS = 30;

// The machine is slow: each kind, pool and relation of the policies is here, but not all of their combinations.
const CASES: { kind: Unit["kind"]; pool: PoolKind; policies: string }[] = [
  { kind: "instance", pool: "zfs", policies: "shorter" },
  { kind: "volume", pool: "zfs", policies: "longer" },
  { kind: "instance", pool: "zfsEncrypted", policies: "equal" },
  { kind: "volume", pool: "zfsEncrypted", policies: "shorter" },
];

type Workload = Mirrored & { readonly pool: PoolKind };

describe.each(GENERATIONS)("Incus %s: thirty runs on ZFS, plain and encrypted", (generation) => {
  const workloads: Workload[] = [];
  let site: Site<ZfsDaemon>;
  let scratch: Scratch;

  beforeAll(async () => {
    site = await openSiteBetween(openZfsLab().incus[generation]);
    scratch = await openScratch(site.source, site.target);
    // A refresh looks for the newest GUID of both sides from 7.0.1 on, and not at all in 6.0.
    for (const each of CASES) workloads.push(await furnish(site, scratch.project, each, generation === "7.0"));
    await site.writeConfig(configOf(scratch.project, workloads));
  });

  afterAll(async () => {
    await scratch?.close();
    await site?.close();
  });

  test("after every run both sides list and store what the policies say, and only increments are sent", async ({
    signal,
  }) => {
    for (let run = 1; run <= RUNS; run += 1) {
      for (const [index, workload] of workloads.entries()) {
        if (run > 1) await disturb(site, workload, { run, index }, signal);
        await change(site.source, workload, `run-${run}`, signal);
      }
      const commands = await zfsCommandsDuring(() => runOnce(site, workloads, run, signal), signal);
      if (run > 1) expect(fullSends(commands), `run ${run}`).toEqual([]);
      expect(destroyedDatasets(commands), `run ${run}`).toEqual([]);
    }
  });

  test("every snapshot on either side holds what the source held when it was taken, and so does the replica", async ({
    signal,
  }) => {
    for (const { unit, replica, pool, digests } of workloads) {
      for (const [daemon, each] of [[site.source, unit] as const, [site.target, replica] as const]) {
        const names = await snapshotNames(daemon, each);
        const dataset = datasetOf(daemon, pool, each);
        const found = await digestsOf([...names.map((name) => zfsSnapshot(dataset, name)), dataset], signal);
        const head = digests.get(names.at(-1) ?? "");
        if (daemon === site.target) expect(found.at(-1), unit.name).toBe(head);
        expect(found.slice(0, -1), unit.name).toEqual(names.map((name) => digests.get(name)));
      }
      expect(new Set(digests.values()).size, unit.name).toBe(digests.size);
    }
  });

  test("every replica can be deleted, and nothing of it is left", async ({ signal }) => {
    for (const { replica, pool } of workloads) {
      await deleteUnit(site.target, replica);
      const left = await datasetsBelow(`${site.target.zpools[pool]}/incus`, signal);
      expect(left.filter(({ name }) => name.includes(`${replica.project}_${replica.name}`))).toEqual([]);
    }
  });
});

async function furnish(
  { source, target }: Site<ZfsDaemon>,
  project: string,
  { kind, pool, policies }: (typeof CASES)[number],
  gapSafe: boolean,
): Promise<Workload> {
  const pair = POLICIES[policies];
  if (pair === undefined) throw new Error(`No policies ${policies}`);
  const name = `${kind}-${pool.toLowerCase()}-${policies}`;
  const unit: Unit = kind === "instance" ? { kind, project, name } : { kind, project, pool: source.pools[pool], name };
  if (kind === "instance") {
    const devices = { root: { type: "disk", path: "/", pool: source.pools[pool] } };
    const body = { name, type: "container", source: { type: "image", alias: "tiny" }, devices };
    await call(source, "POST", `/1.0/instances?project=${project}`, body);
  } else {
    const body = { name, type: "custom", content_type: "filesystem", config: {} };
    await call(source, "POST", `/1.0/storage-pools/${source.pools[pool]}/volumes?project=${project}`, body);
  }
  return { unit, replica: unit, pool, targetPool: target.pools[pool], policies: pair, gapSafe, digests: new Map() };
}

/** What a person does between two runs. */
async function disturb(
  { source, target }: Site<ZfsDaemon>,
  workload: Workload,
  { run, index }: { readonly run: number; readonly index: number },
  signal: AbortSignal,
): Promise<void> {
  const { unit, replica } = workload;
  const lists = { source: await snapshotNames(source, unit), target: await snapshotNames(target, replica) };
  const deed = byHand(run, index, lists);
  for (const name of deed.source) await deleteSnapshot(source, unit, name);
  for (const name of deed.target) await deleteSnapshot(target, replica, name);
  if (!deed.takes) return;
  const name = `by-hand-${run}`;
  await change(source, workload, name, signal);
  await takeSnapshot(source, unit, name);
  await noteDigest(source, workload, name, signal);
}

async function change(daemon: ZfsDaemon, { unit, pool }: Workload, seed: string, signal: AbortSignal): Promise<void> {
  const content = Buffer.concat([...bytesOf(`${seed}/${unit.name}`, 20_000)]);
  const file = unit.kind === "instance" ? "rootfs/data/changing" : "changing";
  await writeInto(datasetOf(daemon, pool, unit), file, content, signal);
}

/** One run, and all that the servers and ZFS must say after it. Every third run has the target follow the source. */
async function runOnce(
  site: Site<ZfsDaemon>,
  workloads: readonly Workload[],
  run: number,
  signal: AbortSignal,
): Promise<void> {
  const before = [];
  for (const workload of workloads) {
    const source = await listSnapshots(site.source, workload.unit);
    const target = run === 1 ? [] : await listSnapshots(site.target, workload.replica);
    before.push({ workload, source, target });
  }
  const iosFix = run % 3 === 0;
  const ended = await site.iab(["run", "-f", "json", `--iOSfix=${iosFix}`]);
  expect(ended.stderr).toBe("");
  const report = Report.parse(JSON.parse(ended.stdout));
  const at = { name: report.run, at: Date.parse(report.startedAt) };
  let refused = 0;
  for (const { workload, source, target } of before) {
    const { unit, gapSafe } = workload;
    const expected = expectedAfter({ source, target, policies: policiesOf(workload, iosFix), gapSafe, run: at });
    const label = `run ${run}, ${unit.name}: ${JSON.stringify({ source, target, report })}`;
    expect(
      report.skipped.some(({ workload: id }) => id === unitId(unit)),
      label,
    ).toBe(expected.refused);
    await expectStored(site, workload, expected, label, signal);
    if (expected.refused) refused += 1;
    else await noteDigest(site.source, workload, report.run, signal);
    // Where a gap does harm the agent leaves the workload alone, and a person deletes the same on the source.
    for (const name of expected.refused ? expected.gaps : []) await deleteSnapshot(site.source, unit, name);
  }
  const notDone = report.outcomes.filter(({ state }) => state !== "done");
  expect({ run, notDone, exitCode: ended.exitCode }).toEqual({ run, notDone: [], exitCode: refused > 0 ? 3 : 0 });
}

/** Remembers what a snapshot holds that has just been taken. */
async function noteDigest(
  source: ZfsDaemon,
  { unit, pool, digests }: Workload,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const [digest = ""] = await digestsOf([zfsSnapshot(datasetOf(source, pool, unit), name)], signal);
  digests.set(name, digest);
}

type Names = { readonly source: readonly string[]; readonly target: readonly string[] };

/** Both servers list these, ZFS has these and no others, and takes those of both sides for the same. */
async function expectStored(
  { source, target }: Site<ZfsDaemon>,
  { unit, replica, pool }: Workload,
  expected: Names,
  label: string,
  signal: AbortSignal,
): Promise<void> {
  const lists = { source: await snapshotNames(source, unit), target: await snapshotNames(target, replica) };
  expect(lists, label).toEqual({ source: expected.source, target: expected.target });
  const onSource = await guidsOf(datasetOf(source, pool, unit), signal);
  const onTarget = await guidsOf(datasetOf(target, pool, replica), signal);
  expect([...onSource.keys()].sort(), label).toEqual([...lists.source].sort());
  expect([...onTarget.keys()].sort(), label).toEqual([...lists.target].sort());
  for (const [name, guid] of onTarget) expect([name, guid], label).toEqual([name, onSource.get(name) ?? guid]);
  expect(await ghostsOf(target, replica), label).toEqual([]);
}

async function guidsOf(dataset: string, signal: AbortSignal): Promise<Map<string, string>> {
  const snapshots = (await datasetsBelow(dataset, signal)).filter(({ type }) => type === "snapshot");
  return new Map(snapshots.map(({ name, guid }) => [name.replace(/^.*@(snapshot-)?/, ""), guid]));
}

const Sized = z.array(z.object({ name: z.string(), size: z.number().optional() }));

/** The snapshots of an instance that Incus lists and that have nothing behind them. */
async function ghostsOf(daemon: ZfsDaemon, unit: Unit): Promise<string[]> {
  if (unit.kind === "volume") return [];
  const path = `/1.0/instances/${unit.name}/snapshots?recursion=1&project=${unit.project}`;
  const listed = Sized.parse(await call(daemon, "GET", path));
  return listed.filter(({ size }) => size === -1).map(({ name }) => name);
}

function fullSends(commands: readonly ZfsCommand[]): ZfsCommand[] {
  const sends = commands.filter(({ words }) => words[0] === "send");
  expect(sends.length).toBeGreaterThan(0);
  return sends.filter(({ words }) => !words.includes("-i"));
}

/** Datasets that were destroyed, not snapshots: a refresh in place needs none of that. */
function destroyedDatasets(commands: readonly ZfsCommand[]): ZfsCommand[] {
  return commands.filter(({ words }) => words[0] === "destroy" && words.at(-1)?.includes("@") !== true);
}
