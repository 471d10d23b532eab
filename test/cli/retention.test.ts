import { expect, test } from "vitest";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { iab } from "./iab.ts";
import { data, stage, web } from "./stage.ts";

const now = Date.UTC(2026, 6, 15, 12, 30);
const NAMES = `IAB_20260715-130000
IAB_20260715-122000
IAB_20260715-121000
manual
web1/IAB_20260715-090000

IAB_20260501-000000\r
IAB_20260230-000000
IAB_20260715-122000
`;

function explain(argv: readonly string[], input = NAMES) {
  return iab(["retention", "explain", ...argv], memoryWorld({ now, input }));
}

test("iab retention explain tells each name's verdict and reasons, in the order given", async () => {
  const { exitCode, stdout, stderr } = await explain(["1,1h1d,1w1y", "-f", "json"]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  const twice = {
    name: "IAB_20260715-122000",
    at: "2026-07-15T12:20:00Z",
    verdict: "keep",
    reasons: ["count", "1h1d", "1w1y"],
  };
  expect(JSON.parse(stdout)).toEqual([
    { name: "IAB_20260715-130000", at: "2026-07-15T13:00:00Z", verdict: "keep", reasons: ["future"] },
    twice,
    {
      name: "IAB_20260715-121000",
      at: "2026-07-15T12:10:00Z",
      verdict: "remove",
      reasons: [
        "count: not among the newest 1",
        "1h1d: IAB_20260715-122000 is newer",
        "1w1y: IAB_20260715-122000 is newer",
      ],
    },
    { name: "manual", at: null, verdict: "unmanaged", reasons: ["not a name of ours"] },
    { name: "web1/IAB_20260715-090000", at: "2026-07-15T09:00:00Z", verdict: "keep", reasons: ["1h1d"] },
    { name: "IAB_20260501-000000", at: "2026-05-01T00:00:00Z", verdict: "keep", reasons: ["1w1y"] },
    { name: "IAB_20260230-000000", at: null, verdict: "unmanaged", reasons: ["not a name of ours"] },
    twice,
  ]);
});

const formats = ["table", "yaml", "csv"];
test.each(formats)("iab retention explain -f %s looks as it should", async (format) => {
  const { stdout } = await explain(["1,1h1d,1w1y", "-f", format]);
  await expect(stdout).toMatchFileSnapshot(`../golden/retention-explain-${format}.txt`);
});

test.each(["table", "json", "yaml", "csv"])(
  "iab retention explain --simulate -f %s looks as it should",
  async (format) => {
    const argv = ["2,1d1w,1w1m", "--simulate", "60d", "--every", "6h", "--now", "2026-01-01", "-f", format];
    const { stdout, exitCode } = await explain(argv, "");
    expect(exitCode).toBe(0);
    await expect(stdout).toMatchFileSnapshot(`../golden/retention-simulate-${format}.txt`);
  },
);

test("iab retention explain walks 400 days by the hour", async () => {
  const { stdout } = await explain(["6,1h2d,1d2w,1w3m", "--simulate", "400d", "-f", "json"], "");
  expect(JSON.parse(stdout)).toMatchObject({ taken: 9601, everyMs: 3_600_000, from: "2026-07-15T12:30:00Z" });
});

test("iab retention explain keeps everything under an empty policy", async () => {
  const { stdout } = await explain(["", "-f", "json"], "IAB_20200101-000000\n");
  expect(JSON.parse(stdout)).toMatchObject([{ verdict: "keep", reasons: ["no policy"] }]);
});

const moments = ["2026-07-15T14:30:00+02:00", "2026-07-15T12:30:00Z", "2026-07-15T12:30", "2026-07-15 12:30:00.000"];
test.each(moments)("iab retention explain judges as of --now %s", async (moment) => {
  const world = memoryWorld({ now: 0, input: "IAB_20260715-113000\nIAB_20260715-113001\n" });
  const { stdout } = await iab(["retention", "explain", "1h1h", "--now", moment, "-f", "csv"], world);
  expect(stdout).toContain("IAB_20260715-113000,1h ago,remove,1h1h: IAB_20260715-113001 is newer");
});

const refused: { argv: string[]; says: string }[] = [
  { argv: [], says: "missing required argument 'policy'" },
  { argv: ["1h2x"], says: 'Cannot read the policy: unknown unit "x"' },
  { argv: ["3", "5", "6"], says: "too many arguments" },
  { argv: ["3", "web1"], says: "Cannot use the workload web1 without --from source or --from target" },
  { argv: ["3", "--from", "source"], says: "Cannot use --from without the name of a workload" },
  { argv: ["3", "--from", "elsewhere", "web1"], says: "Allowed choices are source, target" },
  { argv: ["3", "--from", "source", "web1", "--simulate", "1d"], says: "Cannot use --from with --simulate" },
  {
    argv: ["3", "--now", "yesterday"],
    says: "Cannot read --now yesterday: expected a time such as 2026-07-15T12:30:00Z",
  },
  { argv: ["3", "--now", "2026-02-30T00:00:00Z"], says: "Cannot read --now 2026-02-30T00:00:00Z" },
  { argv: ["3", "--now", "2026-13-01"], says: "Cannot read --now 2026-13-01" },
  { argv: ["3", "--now", "2026-01-01T25:00"], says: "Cannot read --now 2026-01-01T25:00" },
  { argv: ["3", "--every", "1h"], says: "Cannot use --every without --simulate" },
  { argv: ["3", "--simulate", "1x"], says: "Cannot read --simulate 1x: expected a span such as 1h or 400d" },
  { argv: ["3", "--simulate", "1d", "--every", "0h"], says: "Cannot read --every 0h" },
  { argv: ["3", "--simulate", "1h", "--every", "1d"], says: "Cannot walk for 1h in steps of 1d: the step is longer" },
  {
    argv: ["", "--simulate", "9y", "--every", "1s"],
    says: "Cannot walk for 9y in steps of 1s: it would take too long",
  },
];
test.each(refused)("iab retention explain $argv is a usage error", async ({ argv, says }) => {
  const { exitCode, stdout, stderr } = await explain(argv);
  expect([exitCode, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(says);
});

test("iab retention explain does not wait for a terminal to name snapshots", async () => {
  const { exitCode, stderr } = await iab(["retention", "explain", "3"], memoryWorld({ onTerminal: true }));
  expect(exitCode).toBe(2);
  expect(stderr).toContain("incus snapshot list web1");
});

test.each(["source", "target"] as const)("iab retention explain --from %s ages by the server's dates", async (side) => {
  const { both, run } = stage();
  await run("run");
  both[side].get(web).snapshots.unshift({
    name: "IAB_20261120-010000",
    createdAt: Date.UTC(2026, 10, 19, 23),
    createdAtExact: "2026-11-19T23:00:00Z",
    expiresAt: undefined,
    sizeBytes: undefined,
    content: "",
  });
  const { stdout, stderr } = await run("retention", "explain", "1h4h", "--from", side, "web1", "-f", "json");
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toMatchObject([
    { name: "IAB_20261120-010000", at: "2026-11-19T23:00:00Z", verdict: "remove", reasons: ["1h4h: too old"] },
    { name: "IAB_20261120-040000", verdict: "keep", reasons: ["1h4h"] },
  ]);
});

test("iab retention explain --from reads volumes too, and says when a name is not enough", async () => {
  const { both, run } = stage();
  both.source.snapshot(data, "by-hand");
  const explained = await run("retention", "explain", "3", "--from", "source", "local/data", "-f", "csv");
  expect(explained.stdout).toContain("by-hand");
  const problems = [
    ["nothing", "Cannot tell which workload nothing is: prod has none"],
    ["*1", "Cannot tell which workload *1 is: it may be web1, db1"],
    ["[9-1]", "Cannot read the pattern [9-1]"],
  ];
  for (const [name = "", says = ""] of problems) {
    const { exitCode, stderr } = await run("retention", "explain", "3", "--from", "source", name);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(says);
  }
});
