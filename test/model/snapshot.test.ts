import fc from "fast-check";
import { expect, test } from "vitest";
import { isOwnSnapshotName, snapshotName, snapshotNameTime } from "../../src/model/snapshot.ts";

test("snapshotNameTime() reads what snapshotName() wrote", () => {
  const seconds = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) / 1000 });
  fc.assert(fc.property(seconds, (at) => snapshotNameTime(snapshotName(at * 1000)) === at * 1000));
});

const own = ["IAB_20240229-000000", "IAB_20000229-235959", "IAB_19700101-000000", "IAB_99991231-235959"];
test.each(own)("isOwnSnapshotName() knows %s for ours", (name) => {
  expect(isOwnSnapshotName(name)).toBe(true);
});

const foreign = [
  "IAB_20230229-000000",
  "IAB_21000229-000000",
  "IAB_20260431-000000",
  "IAB_20260100-000000",
  "IAB_20260001-000000",
  "IAB_20261301-000000",
  "IAB_20260101-240000",
  "IAB_20260101-006000",
  "IAB_20260101-000060",
  "IAB_00500101-000000",
  "IAB_20260101-0000000",
  "IAB_20260101-000000\n",
  "xIAB_20260101-000000",
];
test.each(foreign)("isOwnSnapshotName() leaves '%s' to others", (name) => {
  expect(isOwnSnapshotName(name)).toBe(false);
});
