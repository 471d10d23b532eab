import { expect, test } from "vitest";
import type { Stock, StockRow } from "../../src/model/stock.ts";
import { PLAIN } from "../../src/render/look.ts";
import { stockCsv, stockJson, stockMetrics, stockText } from "../../src/render/stock-text.ts";
import { NOW } from "../plan/fixtures.ts";

const NOTHING = { skipped: [], warnings: [] };
const web1 = { kind: "instance", project: "default", name: "web1" } as const;
const known: StockRow = {
  workload: web1,
  side: "source",
  unit: web1,
  exists: true,
  unknown: undefined,
  newest: { name: "IAB_20261120-030000", at: NOW - 3_600_000 },
  proven: undefined,
  lagMs: 3_600_000,
  lost: [],
  own: 3,
  foreign: 0,
  sizeBytes: undefined,
};
const away: StockRow = {
  ...known,
  side: "target",
  unknown: "member two is offline",
  newest: undefined,
  lagMs: undefined,
  own: 0,
};
const stock: Stock = { at: NOW, rows: [known, away], uncovered: [] };

test("stockText() says of what a member holds that is away that it is unknown, and never that there is none", () => {
  const line = stockText(stock, NOTHING, PLAIN)
    .split("\n")
    .find((each) => each.includes("target"));
  expect(line?.split("|").map((cell) => cell.trim())).toEqual([
    "",
    "web1",
    "target",
    "unknown: member two is offline",
    "unknown",
    "",
    "?",
    "?",
    "",
  ]);
  expect(stockCsv(stock)).toContain("web1,target,unknown: member two is offline,unknown,,?,?");
});

test("stockJson() and stockMetrics() tell why it is unknown, and give no number for it", () => {
  const { workloads } = stockJson(stock, NOTHING) as { workloads: object[] };
  expect(workloads).toMatchObject([
    { side: "source", unknown: null, snapshots: 3 },
    { side: "target", exists: true, unknown: "member two is offline", newest: null, proven: null, lagMs: null },
  ]);
  const metrics = stockMetrics(stock, NOTHING);
  expect(metrics).toContain('iab_unknown{workload="default/web1",side="target"} 1\n');
  expect(metrics.match(/^[^#].*side="target".*$/gm)).toEqual(['iab_unknown{workload="default/web1",side="target"} 1']);
});
