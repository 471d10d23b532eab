import fc from "fast-check";
import { expect, test } from "vitest";
import { snapshotName } from "../../src/model/snapshot.ts";
import { DAY_MS, HOUR_MS } from "../../src/model/time.ts";
import { parsePolicy } from "../../src/retention/parse-policy.ts";
import { simulate, walkSize } from "../../src/retention/simulate.ts";
import { thin } from "../../src/retention/thin.ts";

const from = Date.UTC(2026, 0, 1);

test("simulate() holds what the policy says after sixty days of hours", () => {
  const policy = parsePolicy("2,1d1w,1w1m");
  const walk = simulate(policy, { from, spanMs: 60 * DAY_MS, everyMs: HOUR_MS });
  expect(walk.taken).toBe(60 * 24 + 1);
  expect(walk.to).toBe(from + 60 * DAY_MS);
  const ages = walk.held.map(({ at }) => (walk.to - at) / HOUR_MS);
  // The midnight that has just begun, the last hour of each day, and of each week, which begin on Thursdays.
  expect(ages).toEqual([601, 433, 265, 145, 121, 97, 73, 49, 25, 1, 0]);
  expect(walk.held.every(({ verdict }) => verdict === "keep")).toBe(true);
});

test("simulate() keeps everything without a policy, and says how it grows", () => {
  const walk = simulate(parsePolicy(""), { from, spanMs: 10 * DAY_MS, everyMs: DAY_MS });
  expect(walk).toMatchObject({ taken: 11, most: 11 });
  expect(walk.growth.map(({ at, count }) => [(at - from) / DAY_MS, count])).toEqual([
    [1 / 24, 1],
    [1, 2],
    [7, 8],
    [10, 11],
  ]);
});

test("simulate() ends at the last whole step", () => {
  const walk = simulate(parsePolicy("3"), { from, spanMs: 10 * HOUR_MS, everyMs: 3 * HOUR_MS });
  expect(walk.held.map(({ name }) => name)).toEqual([3, 6, 9].map((hours) => snapshotName(from + hours * HOUR_MS)));
});

const policies = ["1", "3,1h1d", "2h1d,1d1w", "5,7h3d,1w2m"].map(parsePolicy);

test("simulate() comes to what one thinning of all snapshots at the end would come to", () => {
  const steps = fc.integer({ min: 1, max: 100 });
  fc.assert(
    fc.property(fc.constantFrom(...policies), steps, fc.integer({ min: 1, max: 40 }), (policy, count, hours) => {
      const everyMs = hours * HOUR_MS;
      const { held, to } = simulate(policy, { from, spanMs: count * everyMs, everyMs });
      const all = Array.from({ length: count + 1 }, (_, step) => from + step * everyMs);
      const verdicts = thin(
        all.map((createdAt) => ({ name: snapshotName(createdAt), createdAt })),
        policy,
        to,
      );
      expect(held).toEqual(verdicts.filter(({ verdict }) => verdict === "keep"));
    }),
  );
});

test("walkSize() is never less than the verdicts that a walk asks for", () => {
  for (const policy of policies) {
    const walk = { from, spanMs: 90 * DAY_MS, everyMs: HOUR_MS };
    const { most, taken } = simulate(policy, walk);
    expect(walkSize(policy, walk)).toBeGreaterThanOrEqual(most * taken);
  }
});
