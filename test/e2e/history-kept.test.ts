import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CopyLab, openCopyLab } from "../contract/copy-lab.ts";
import { simulate } from "../incus/history-simulation.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openPerson, type Person } from "../lab/person.ts";
import { orphanSubvolumes } from "../lab/storage.ts";
import { deleteUnit } from "../lab/workloads.ts";
import { expectHistory, expectIncrements, expectRestorable } from "./history-expectations.ts";
import { openLabPair } from "./history-lab-pair.ts";

/** Once a day for twelve days; `make test-history` has four runs a day, and goes on for 60 days. */
const RUNS = Number(process.env["IAB_HISTORY_RUNS"] ?? 12);
const simulation = { runs: RUNS, days: Math.max(12, RUNS / 4), sourcePolicy: "2", targetPolicy: "1h1d,1d1w,1w1m" };

const lab = openLab();
const cases = (["instance", "filesystem", "block"] as const).flatMap((kind) =>
  (["btrfs", "dir"] as const).map((driver) => ({ kind, driver })),
);

describe.each(GENERATIONS)("Incus %s", (generation) => {
  let copyLab: CopyLab;
  let person: Person;
  beforeAll(async () => {
    copyLab = await openCopyLab(lab.incus[generation].source, lab.incus[generation].target);
    person = await openPerson(copyLab.source, copyLab.target);
  });
  afterAll(async () => {
    // Only now: while others copy, there are subvolumes on their way.
    const orphans = await orphanSubvolumes(copyLab.target, copyLab.target.pools.btrfs);
    await person.close();
    await copyLab.close();
    expect(orphans).toEqual([]);
  });

  test.concurrent.each(cases)(
    `${RUNS} runs keep what the policy says of: $kind on $driver`,
    async ({ kind, driver }) => {
      const pair = await openLabPair(copyLab, { kind, sourceDriver: driver, targetDriver: driver });
      const seen = await simulate(pair, simulation);
      expect(seen.expected.target.length).toBeGreaterThan(seen.expected.source.length + 3);
      await expectHistory(pair, seen);
      expectIncrements(pair, seen);
      await expectRestorable(pair, seen, person);
      await deleteUnit(copyLab.target, pair.replica);
    },
    3_600_000,
  );
});
