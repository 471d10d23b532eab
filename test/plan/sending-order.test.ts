import { expect, test } from "vitest";
import { copied, instance, job, named, names, own, plan, RUN, replicaOf, stateOf, stepOf } from "./fixtures.ts";

const HISTORY = [own(48), own(24)];

/** The plan for a source with more than its replica has. */
function planWith(more: Parameters<typeof named>[], drivers: { source?: string; target?: string } = {}) {
  const web1 = instance("web1", { snapshots: [...HISTORY, ...more.map((each) => named(...each))] });
  const replica = replicaOf(web1, { snapshots: copied(HISTORY) });
  return plan(
    [job("web1")],
    stateOf(
      { instances: [web1], driver: drivers.source ?? "btrfs" },
      { instances: [replica], driver: drivers.target ?? "btrfs" },
    ),
  );
}

test("makePlan() on btrfs sends a newer foreign snapshot before it takes its own, which comes before it by name", () => {
  const made = planWith([
    ["snap0", 2],
    ["snap1", 1],
  ]);
  expect(made.steps.map(({ id, needs }) => [id, needs])).toEqual([
    ["catch-up:default/web1", []],
    ["snapshot:default/web1", ["catch-up:default/web1"]],
    ["copy:default/web1", ["snapshot:default/web1", "catch-up:default/web1"]],
  ]);
  const [catchUp, , copy] = made.steps;
  const before = [...names(HISTORY), "snap0", "snap1"];
  expect(catchUp).toMatchObject({ kind: "copy", base: own(24).name, sends: ["snap0", "snap1"], proof: before });
  expect(copy).toMatchObject({ kind: "copy", base: "snap1", sends: [RUN], proof: [...before, RUN] });
  expect(catchUp).toHaveProperty("marks", { "user.iab.source": "prod:default/web1" });
});

test.each([
  { name: "the foreign one comes first by name", more: [["A-manual", 1]] as const, drivers: {} },
  { name: "nothing foreign is to be sent", more: [["IAB_20261120-030000", 1]] as const, drivers: {} },
  { name: "the driver is another one", more: [["snap0", 1]] as const, drivers: { source: "zfs", target: "zfs" } },
  { name: "files are compared", more: [["snap0", 1]] as const, drivers: { target: "dir" } },
])("makePlan() sends all at once where $name", ({ more, drivers }) => {
  const made = planWith(
    more.map(([name, hours]) => [name, hours]),
    drivers,
  );
  expect(made.steps.map(({ id }) => id)).toEqual(["snapshot:default/web1", "copy:default/web1"]);
  expect(stepOf(made, "copy").sends).toHaveLength(2);
});

test("makePlan() on btrfs refuses what can never be sent, and says what helps", () => {
  const made = planWith([
    ["snap0", 2],
    ["IAB_20261120-030000", 1],
  ]);
  expect(made.steps).toEqual([]);
  expect(made.skipped).toMatchObject([
    {
      why: "btrfs would send snap0 on top of IAB_20261120-030000, the one before it by name, which its replica lacks too",
      hint: expect.stringMatching(/iab run --reseed web1\. Or delete IAB_20261120-030000 of web1 on the source$/),
      failed: true,
    },
  ]);
});
