import { expect, test } from "vitest";
import { snapshotName } from "../../src/model/snapshot.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/model/time.ts";
import { parsePolicy } from "../../src/retention/parse-policy.ts";
import { type Dated, thin } from "../../src/retention/thin.ts";

const now = Date.UTC(2026, 6, 15, 12, 30);

function ago(durationMs: number): Dated {
  return { name: snapshotName(now - durationMs), createdAt: now - durationMs };
}

/** Ages in hours, newest first, and the ages that are removed. */
const cases: { name: string; policy: string; hours: number[]; removed: number[] }[] = [
  { name: "keeps everything without a policy", policy: "", hours: [0, 1, 9999], removed: [] },
  { name: "keeps the newest by count", policy: "2", hours: [1, 2, 3, 4], removed: [3, 4] },
  { name: "keeps all where the count is larger", policy: "9", hours: [1, 2, 3, 4], removed: [] },
  { name: "keeps the newest of each day", policy: "1d1w", hours: [1, 5, 25], removed: [5] },
  { name: "aligns days to midnight UTC", policy: "1d1w", hours: [1, 12, 13, 14], removed: [12, 14] },
  { name: "aligns two-hour buckets to even hours", policy: "2h1w", hours: [0, 1, 2, 3, 4], removed: [2, 4] },
  {
    name: "lets go of what is older than the rule looks back",
    policy: "1h1d",
    hours: [1, 24, 25, 26],
    removed: [25, 26],
  },
  { name: "keeps what any rule selects", policy: "1,1h3h,1d2d", hours: [0, 2, 3, 4, 13, 20], removed: [4, 20] },
  { name: "keeps a snapshot from the future", policy: "1", hours: [-3, -1, 1, 2], removed: [2] },
  { name: "does not let the future use up a bucket", policy: "1d1w", hours: [-1, 1, 2], removed: [2] },
  { name: "keeps the newest though no rule reaches it", policy: "1h1d", hours: [50, 60], removed: [60] },
  { name: "accepts any order", policy: "1d1w", hours: [25, 5, 1], removed: [5] },
  { name: "has nothing to say of nothing", policy: "1d1w", hours: [], removed: [] },
];
for (const { name, policy, hours, removed } of cases) {
  test(`thin() ${name}`, () => {
    const verdicts = thin(
      hours.map((age) => ago(age * HOUR_MS)),
      parsePolicy(policy),
      now,
    );
    const gone = verdicts.filter((verdict) => verdict.verdict === "remove").map(({ at }) => (now - at) / HOUR_MS);
    expect(gone).toEqual(removed);
  });
}

test("thin() gives the reasons of every verdict, in the order given", () => {
  const foreign = { name: "before-upgrade", createdAt: now - 3 * DAY_MS };
  const given = [ago(-HOUR_MS), ago(0), ago(10 * MINUTE_MS), ago(2 * HOUR_MS), ago(40 * DAY_MS), foreign];
  expect(thin(given, parsePolicy("1,1h1d,1D1W"), now).map(({ verdict, reasons }) => [verdict, ...reasons])).toEqual([
    ["keep", "future"],
    ["keep", "count", "1h1d", "1D1W"],
    [
      "remove",
      "count: not among the newest 1",
      "1h1d: IAB_20260715-123000 is newer",
      "1D1W: IAB_20260715-123000 is newer",
    ],
    ["keep", "1h1d"],
    ["remove", "count: not among the newest 1", "1h1d: too old", "1D1W: too old"],
    ["unmanaged", "not a name of ours"],
  ]);
});

test("thin() says that the newest is kept, or that there is no policy", () => {
  expect(thin([ago(9 * DAY_MS)], parsePolicy("1h1d"), now)).toMatchObject([{ verdict: "keep", reasons: ["newest"] }]);
  expect(thin([ago(9 * DAY_MS)], parsePolicy(""), now)).toMatchObject([{ verdict: "keep", reasons: ["no policy"] }]);
});

test("thin() measures age by the server's date and not by the name", () => {
  const namedInLocalTime = { name: snapshotName(now + 2 * HOUR_MS), createdAt: now - 2 * HOUR_MS };
  expect(thin([namedInLocalTime, ago(HOUR_MS)], parsePolicy("1"), now).map(({ verdict }) => verdict)).toEqual([
    "remove",
    "keep",
  ]);
});

const dateless = [{ createdAt: Number.NaN }, { createdAt: Date.UTC(1, 0, 1) }, { createdAt: 0 }];
test.each(dateless)(
  "thin() keeps a snapshot of which the server does not know the age: $createdAt",
  ({ createdAt }) => {
    const unknown = { name: "IAB_20200101-000000", createdAt };
    expect(thin([unknown, ago(0), ago(1)], parsePolicy("1"), now).map(({ verdict }) => verdict)).toEqual([
      "keep",
      "keep",
      "remove",
    ]);
  },
);

const foreignNames = [
  "IAB_20260230-000000",
  "IAB_20261301-000000",
  "IAB_20260101-240000",
  "IAB_20260101-006000",
  "IAB_00500101-000000",
  "IAB_20260101-000000 ",
  "IAB_20260101-000000.1",
  "iab_20260101-000000",
  "IAB_2026011-000000",
  "IAB_",
  "snap0",
  "",
];
test.each(foreignNames)("thin() does not touch '%s', which is not a name of ours", (name) => {
  const verdicts = thin([{ name, createdAt: now - 999 * DAY_MS }, ago(0)], parsePolicy("1"), now);
  expect(verdicts.map(({ verdict }) => verdict)).toEqual(["unmanaged", "keep"]);
});

test("thin() keeps exactly one of two that were made at the same moment, whatever their order", () => {
  const twins = ["IAB_20260101-000000", "IAB_20260101-000001"].map((name) => ({ name, createdAt: now - HOUR_MS }));
  const kept = [twins, twins.toReversed()].map((given) =>
    thin(given, parsePolicy("1"), now)
      .filter(({ verdict }) => verdict === "keep")
      .map(({ name }) => name),
  );
  expect(kept).toEqual([["IAB_20260101-000001"], ["IAB_20260101-000001"]]);
});

test("thin() decides for 10 000 workloads of 200 snapshots in under 3 seconds", () => {
  const policy = parsePolicy("6,1h2d,1d2w,1w3m");
  const workload = Array.from({ length: 200 }, (_, index) => ago(index * 7 * HOUR_MS));
  const before = process.cpuUsage();
  let removed = 0;
  for (let count = 0; count < 10_000; count++) {
    removed += thin(workload, policy, now).filter(({ verdict }) => verdict === "remove").length;
  }
  const { user, system } = process.cpuUsage(before);
  expect(removed).toBeGreaterThan(1_000_000);
  expect((user + system) / 1000).toBeLessThan(3000);
});
