import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CopyLab, copyOf, ignore, openCopyLab, snapshotsOf } from "../contract/copy-lab.ts";
import { type Pair, simulate } from "../incus/history-simulation.ts";
import { GENERATIONS } from "../lab/lab.ts";
import { deleteSnapshot, deleteUnit, takeSnapshot } from "../lab/workloads.ts";
import {
  datasetOf,
  datasetsBelow,
  digestsOf,
  openZfsLab,
  type PoolKind,
  type ZfsDaemon,
  zfsCommandsDuring,
  zfsSnapshot,
} from "./guest.ts";
import { restore } from "./restore.ts";
import { destroyedDatasets, fullSends, ghostsOf } from "./transfers.ts";
import {
  CONTENT_BYTES,
  createUnit,
  digestOfSeed,
  FILLING_BYTES,
  type Kind,
  listedSnapshots,
  readAll,
  storedSnapshots,
  workloadOf,
  writeAll,
  type ZfsWorkload,
} from "./workloads.ts";

/** As many as there are, in ten simulated days: forty are every six hours. */
const RUNS = Number(process.env["IAB_ZFS_RUNS"] ?? 40);
const simulation = { runs: RUNS, days: 10, sourcePolicy: "2", targetPolicy: "1h1d,1d1w,1w1m" };

const KINDS: readonly Kind[] = ["instance", "filesystem", "block"];
const POOLS: readonly PoolKind[] = ["zfs", "zfsEncrypted"];

type Lab = CopyLab<ZfsDaemon>;

describe.each(GENERATIONS)("Incus %s: kept history on ZFS, plain and encrypted", (generation) => {
  let lab: Lab;

  beforeAll(async () => {
    const { source, target } = openZfsLab().incus[generation];
    lab = await openCopyLab(source, target, { operationTimeoutMs: 600_000 });
  });
  afterAll(async () => {
    await lab?.close();
  });

  test(`${RUNS} runs keep what the policy says, each with its content, by increments alone`, async ({ signal }) => {
    const workloads = POOLS.flatMap((pool) =>
      KINDS.map((kind) =>
        workloadOf(lab.source, { project: lab.project, name: `${kind}-${pool.toLowerCase()}`, kind, pool }),
      ),
    );
    for (const workload of workloads) await createUnit(lab.source, workload, "1MiB");
    await writeAll(
      lab.source,
      workloads.map((workload) => ({ workload, seed: "filling", filling: true })),
      signal,
    );

    const pairs = workloads.map((workload) => pairOf(lab, workload, signal));
    let seen: Awaited<ReturnType<typeof simulate>>[] = [];
    const commands = await zfsCommandsDuring(async () => {
      seen = await Promise.all(pairs.map((pair) => simulate(pair, simulation)));
    }, signal);

    const own = commands.filter(({ words }) => words.some((word) => word.includes(lab.project)));
    // The first copy of each.
    expect(fullSends(own)).toHaveLength(workloads.length);
    expect(destroyedDatasets(own)).toEqual([]);
    const stored = await storedSnapshots(lab.target, workloads, signal);
    for (const [index, workload] of workloads.entries()) {
      const { expected, digests, guids, bytes } = seen[index] ?? {};
      if (expected === undefined) throw new Error(`No simulation of ${workload.unit.name}`);
      const { unit } = workload;
      expect(expected.target.length, unit.name).toBeGreaterThan(expected.source.length + 3);
      expect(await listedSnapshots(lab.target, unit), unit.name).toEqual([...expected.target].sort());
      const there = expected.target.map((name) => [name, guids?.get(name)]).sort();
      expect([...(stored[index] ?? [])].sort(), unit.name).toEqual(there);
      const held = expected.target.map((snapshot) => ({ workload, snapshot }));
      expect(await readAll(lab.target, held, signal), unit.name).toEqual(
        expected.target.map((name) => digests?.get(name)),
      );
      // An instance's record of itself names its snapshots: it grows with them, and goes along with each of them.
      expect(Math.max(...(bytes ?? [])), unit.name).toBeLessThan(CONTENT_BYTES + FILLING_BYTES / 2);
      expect(await ghostsOf(lab.target, unit), unit.name).toEqual([]);
      await expectRestorable(lab, workload, expected.target[0] ?? "", signal);
    }
    for (const { unit } of workloads) await deleteUnit(lab.target, unit);
    for (const pool of POOLS) {
      const left = await datasetsBelow(`${lab.target.zpools[pool]}/incus`, signal);
      expect(left.filter(({ name }) => name.includes(lab.project))).toEqual([]);
    }
  });
});

/** A unit whose content changes in each run, and what a simulation does with it and its replica of the same name. */
function pairOf(lab: Lab, workload: ZfsWorkload, signal: AbortSignal): Pair {
  const { source, target, servers } = lab;
  const { unit, kind, pool } = workload;
  const copy = copyOf("relay", unit, target.pools[pool], kind === "block" ? "block" : "filesystem");
  let seed = "";
  let isMade = false;
  let takenAt = 0;
  return {
    name: `${source.generation} ${kind} ${pool}`,
    changeSource: async (next) => {
      seed = next;
      await writeAll(source, [{ workload, seed }], signal);
    },
    takeSnapshot: async (name) => {
      // Servers date the snapshots of instances to the second, and take two of the same second for one.
      await setTimeout(Math.max(0, takenAt + 1000 - Date.now()));
      await takeSnapshot(source, unit, name);
      takenAt = Date.now();
    },
    targetSnapshots: async () => (isMade ? snapshotsOf(target, unit) : []),
    deleteSnapshot: (side, name) => deleteSnapshot(lab[side], unit, name),
    // It holds what was written: to read it each time is dear here.
    digest: async () => digestOfSeed(workload, seed),
    copy: async (keep, sends) => {
      const copied = await servers.copy({ ...copy, keep, sends }, ignore, signal);
      isMade = true;
      return copied;
    },
  };
}

/** What the source has long forgotten can be had back from the replica, whole. */
async function expectRestorable(lab: Lab, workload: ZfsWorkload, oldest: string, signal: AbortSignal): Promise<void> {
  const { source, target } = lab;
  const { unit, pool } = workload;
  const restored = await restore({
    from: target,
    replica: unit,
    snapshot: oldest,
    to: source,
    pool: source.pools[pool],
  });
  const kept = zfsSnapshot(datasetOf(target, pool, unit), oldest);
  const [before, after] = await digestsOf([kept, datasetOf(source, pool, restored)], signal);
  expect(after, unit.name).toBe(before);
}
