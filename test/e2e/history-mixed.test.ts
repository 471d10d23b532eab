import { afterAll, beforeAll, describe, test } from "vitest";
import { type CopyLab, openCopyLab } from "../contract/copy-lab.ts";
import { simulate } from "../incus/history-simulation.ts";
import { openLab } from "../lab/lab.ts";
import { openPerson, type Person } from "../lab/person.ts";
import { deleteUnit } from "../lab/workloads.ts";
import { expectHistory, expectRestorable } from "./history-expectations.ts";
import { openLabPair } from "./history-lab-pair.ts";

const lab = openLab();
const simulation = { runs: 12, days: 12, sourcePolicy: "2", targetPolicy: "1h1d,1d1w,1w1m" };

const cases = (["instance", "filesystem"] as const).flatMap((kind) =>
  (
    [
      ["btrfs", "btrfs"],
      ["btrfs", "dir"],
      ["dir", "btrfs"],
    ] as const
  ).map(([from, to]) => ({ kind, from, to })),
);

describe.each([
  ["6.0", "7.0"],
  ["7.0", "6.0"],
] as const)("Incus %s to %s", (from, to) => {
  let copyLab: CopyLab;
  let person: Person;
  beforeAll(async () => {
    copyLab = await openCopyLab(lab.incus[from].source, lab.incus[to].target);
    person = await openPerson(copyLab.source, copyLab.target);
  });
  afterAll(async () => {
    await person.close();
    await copyLab.close();
  });

  test.concurrent.each(cases)("history is kept of: $kind from $from to $to", async ({ kind, from, to }) => {
    const pair = await openLabPair(copyLab, { kind, sourceDriver: from, targetDriver: to });
    const seen = await simulate(pair, simulation);
    await expectHistory(pair, seen);
    await expectRestorable(pair, seen, person);
    await deleteUnit(copyLab.target, pair.replica);
  });
});
