import { expect, test } from "vitest";
import { bytesPerSecondAt } from "../../src/model/bandwidth.ts";

const limit = {
  windows: [
    { from: 22 * 60, to: 6 * 60, bytesPerSecond: undefined },
    { from: 12 * 60, to: 13 * 60, bytesPerSecond: 5 },
  ],
  otherwise: 2,
};

const cases: [string, number, number | undefined][] = [
  ["22:00", 1320, undefined],
  ["23:59", 1439, undefined],
  ["00:00", 0, undefined],
  ["05:59", 359, undefined],
  ["06:00", 360, 2],
  ["11:59", 719, 2],
  ["12:00", 720, 5],
  ["12:59", 779, 5],
  ["13:00", 780, 2],
  ["21:59", 1319, 2],
];
test.each(cases)("bytesPerSecondAt() knows the limit of %s", (_, minute, bytesPerSecond) => {
  expect(bytesPerSecondAt(limit, minute)).toBe(bytesPerSecond);
});
