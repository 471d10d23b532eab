import { expect, test } from "vitest";
import { statusOf } from "../../src/plan/status-of.ts";
import { PLAIN } from "../../src/render/look.ts";
import { statusCsv, statusJson, statusText } from "../../src/render/status-text.ts";
import { jsonText } from "../../src/render/table.ts";
import { instance, job, NOW, named, own, RUN, replicaOf, stateOf } from "../plan/fixtures.ts";

const HISTORY = [named("manual", 90), own(48), own(24)];
const web1 = instance("web1", { snapshots: HISTORY });
const db1 = instance("db1", { snapshots: HISTORY });
const STATUS = statusOf(
  [job("web1"), job("db1"), job("new1")],
  stateOf(
    { instances: [web1, db1, instance("new1"), instance("test1")] },
    { instances: [replicaOf(web1), replicaOf(db1, { status: "Running" })] },
  ),
  { now: NOW, run: RUN },
);

test("statusText() tells people how it stands", async () => {
  await expect(statusText(STATUS, PLAIN)).toMatchFileSnapshot("../golden/status.txt");
});

test("statusJson() tells programs the same", async () => {
  await expect(jsonText(statusJson(STATUS))).toMatchFileSnapshot("../golden/status.json");
});

test("statusCsv() writes a line for each workload", () => {
  expect(statusCsv(STATUS).split("\n")).toEqual([
    "web1,OK,IAB_20261119-040000,1d,23h 59m ago,2 + 1,1d ago,2 + 1",
    "db1,BLOCKED,IAB_20261119-040000,1d,23h 59m ago,2 + 1,1d ago,2 + 1",
    "new1,NOT COPIED YET,,,,0,,",
    "",
  ]);
});

test("statusText() of an empty configuration says what nobody backs up", () => {
  const nothing = statusOf([], stateOf({ instances: [web1] }), { now: NOW, run: RUN });
  expect(statusText(nothing, PLAIN)).toBe("prod to backup\n\nIn no configuration: 1 workload of prod\n  web1\n");
});
