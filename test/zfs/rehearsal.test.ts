import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { factsOf } from "../e2e/ledger.ts";
import { openSiteBetween, type Site } from "../e2e/site.ts";
import type { Generation } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { openZfsLab, type PoolKind, type ZfsDaemon } from "./guest.ts";
import { createUnit, digestOfSeed, type Kind, listedSnapshots, readAll, workloadOf, writeAll } from "./workloads.ts";

const Report = z.object({
  run: z.string(),
  outcomes: z.array(z.object({ kind: z.string(), state: z.string(), error: z.unknown().optional() })),
});

const PAIRS: readonly (readonly [Generation, Generation])[] = [
  ["6.0", "6.0"],
  ["7.0", "7.0"],
  ["6.0", "7.0"],
];
/** A rehearsal is for a kind of data, whatever holds it: trees of files, and block devices. */
const CONTENT_TYPES = 2;
const UNITS: readonly (readonly [Kind, PoolKind])[] = [
  ["instance", "zfsEncrypted"],
  ["filesystem", "zfs"],
  ["block", "zfsEncrypted"],
];

describe.each(PAIRS)("Incus %s to %s on ZFS", (from, to) => {
  let site: Site<ZfsDaemon>;
  let scratch: Scratch;

  beforeAll(async () => {
    const { incus } = openZfsLab();
    const [source, target] = [incus[from].source, incus[to].target];
    scratch = await openScratch(source, target);
    const projects = { source: [scratch.project], target: [scratch.project] };
    site = await openSiteBetween({ source, target }, { projects });
  });

  afterAll(async () => {
    await scratch?.close();
    await site?.close();
  });

  test("each way of keeping history is rehearsed once, and then the target keeps what the source forgets", async ({
    signal,
  }) => {
    const { source, target } = site;
    const { project } = scratch;
    const workloads = UNITS.map(([kind, pool]) => workloadOf(source, { project, name: kind, kind, pool }));
    for (const workload of workloads) await createUnit(source, workload, "1MiB");
    await site.writeConfig({
      projects: [
        {
          name: project,
          mode: "relay",
          history: "keep",
          instances: [{ name: "instance", storage: target.pools.zfsEncrypted }],
          volumes: [
            { name: "filesystem", storage: target.pools.zfs },
            { name: "block", storage: target.pools.zfsEncrypted },
          ],
        },
      ],
      retention: { hosts: { source: { default: "1" }, target: { default: "5" } } },
    });

    const runs: string[] = [];
    for (let run = 1; run <= 4; run += 1) {
      const seed = `run-${run}`;
      await writeAll(
        source,
        workloads.map((workload) => ({ workload, seed })),
        signal,
      );
      const { stdout, exitCode } = await site.iab(["run", "-f", "json"]);
      const report = Report.parse(JSON.parse(stdout));
      expect(report.outcomes.filter(({ state }) => state !== "done")).toEqual([]);
      expect(exitCode).toBe(0);
      expect(report.outcomes.filter(({ kind }) => kind === "rehearse")).toHaveLength(run === 1 ? CONTENT_TYPES : 0);
      runs.push(report.run);
    }

    for (const { unit } of workloads) {
      expect(await listedSnapshots(source, unit), unit.name).toEqual(runs.slice(-1));
      expect(await listedSnapshots(target, unit), unit.name).toEqual(runs);
      const { config } = await factsOf(target, unit);
      expect(config["user.iab.rehearsed"], unit.name).toMatch(/^1 \S+ \S+ zfs .* > \S+ zfs /);
    }
    const held = workloads.flatMap((workload) => runs.map((snapshot) => ({ workload, snapshot })));
    const written = workloads.flatMap((workload) => runs.map((_, at) => digestOfSeed(workload, `run-${at + 1}`)));
    expect(await readAll(target, held, signal)).toEqual(written);
  });
});
