import type { Plan } from "../model/plan.ts";
import type { Stock, StockRow, Taken, Uncovered } from "../model/stock.ts";
import { type EpochMs, rfc3339 } from "../model/time.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import { durationText, sizeText } from "./amounts.ts";
import { hanging, type Look, paint } from "./look.ts";
import { skippedJson, warningJson } from "./plan-json.ts";
import { noticeBlocks } from "./plan-text.ts";
import { type Column, csvText, tableText } from "./table.ts";

/** The part of a plan that says what stands in a workload's way. */
export type Notices = Pick<Plan, "skipped" | "warnings">;

/** All workloads on both sides for people, then what is not covered, then what stands in the way of the next run. */
export function stockText(stock: Stock, notices: Notices, look: Look): string {
  const blocks = [
    stock.rows.length === 0
      ? ["No workload of the configuration is there"]
      : [tableText(columnsOf(stock), stock.rows).trimEnd()],
    ...(stock.uncovered.length === 0
      ? []
      : [[paint("Not covered", "bold", look), ...stock.uncovered.flatMap((each) => uncoveredLines(each, look))]]),
    ...noticeBlocks(notices, look),
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** The same rows as comma-separated values. */
export function stockCsv(stock: Stock): string {
  return csvText(columnsOf(stock), stock.rows);
}

function columnsOf({ rows }: Stock): Column<StockRow>[] {
  const sizes = rows.some(({ sizeBytes }) => sizeBytes !== undefined);
  const losses = rows.some(({ lost }) => lost.length > 0);
  const all: (Column<StockRow> | undefined)[] = [
    { title: "WORKLOAD", cell: ({ workload }) => unitLabel(workload) },
    { title: "SIDE", cell: ({ side }) => side },
    { title: "NEWEST SNAPSHOT", cell: newestText },
    { title: "PROVEN COPY", cell: provenText },
    { title: "LAG", cell: ({ lagMs }) => (lagMs === undefined ? "" : durationText(lagMs)), align: "right" },
    { title: "SNAPSHOTS", cell: ({ own, unknown }) => (unknown === undefined ? String(own) : "?"), align: "right" },
    losses
      ? { title: "LOST", cell: ({ lost }) => (lost.length === 0 ? "" : String(lost.length)), align: "right" }
      : undefined,
    {
      title: "OTHERS",
      cell: ({ foreign, unknown }) => (unknown === undefined ? String(foreign) : "?"),
      align: "right",
    },
    sizes
      ? { title: "SIZE", cell: ({ sizeBytes }) => (sizeBytes === undefined ? "" : sizeText(sizeBytes)), align: "right" }
      : undefined,
  ];
  return all.filter((column) => column !== undefined);
}

function newestText({ newest, exists, unknown }: StockRow): string {
  if (unknown !== undefined) return `unknown: ${unknown}`;
  return newest?.name ?? (exists ? "none" : "not there");
}

function provenText({ proven, side, unknown }: StockRow): string {
  if (side === "source") return "";
  return proven?.name ?? (unknown === undefined ? "none" : "unknown");
}

function uncoveredLines({ side, unit, why }: Uncovered, look: Look): string[] {
  return hanging("  ", `${unitLabel(unit)}${unit.kind === "volume" ? " (volume)" : ""} on the ${side}: ${why}`, look);
}

/** The stock for programs. Its shape is part of the interface and grows by addition. */
export function stockJson({ at, rows, uncovered }: Stock, { skipped, warnings }: Notices): Record<string, unknown> {
  return {
    version: 1,
    at: rfc3339(at),
    workloads: rows.map(rowJson),
    uncovered: uncovered.map(({ side, unit, why }) => ({ side, unit: unitId(unit), kind: unit.kind, why })),
    skipped: skipped.map(skippedJson),
    warnings: warnings.map(warningJson),
  };
}

function rowJson(row: StockRow) {
  const { workload, side, unit, exists, unknown, newest, proven, lagMs, lost, own, foreign, sizeBytes } = row;
  return {
    workload: unitId(workload),
    kind: workload.kind,
    side,
    unit: unitId(unit),
    exists,
    unknown: unknown ?? null,
    newest: takenJson(newest),
    proven: takenJson(proven),
    lagMs: lagMs ?? null,
    lostSnapshots: lost,
    snapshots: own,
    otherSnapshots: foreign,
    sizeBytes: sizeBytes ?? null,
  };
}

function takenJson(taken: Taken | undefined): unknown {
  return taken === undefined ? null : { name: taken.name, at: rfc3339(taken.at) };
}

type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number };

/** The stock as metrics, for the textfile collector of Prometheus's node exporter. */
export function stockMetrics({ at, rows, uncovered }: Stock, { skipped }: Notices): string {
  const of = (row: StockRow) => ({ workload: unitId(row.workload), side: row.side });
  const each = (value: (row: StockRow) => number | undefined): Sample[] =>
    rows.flatMap((row) => {
      const found = value(row);
      return found === undefined ? [] : [{ labels: of(row), value: found }];
    });
  const labelled = (unit: Unit, more: Readonly<Record<string, string>> = {}) => ({ workload: unitId(unit), ...more });
  return [
    metric("iab_status_timestamp_seconds", "When both servers were looked at.", [{ labels: {}, value: seconds(at) }]),
    metric(
      "iab_newest_snapshot_timestamp_seconds",
      "When the newest snapshot of ours was taken.",
      each(({ newest }) => newest && seconds(newest.at)),
    ),
    metric(
      "iab_proven_copy_timestamp_seconds",
      "When the newest proven copy was taken.",
      each(({ proven }) => proven && seconds(proven.at)),
    ),
    metric(
      "iab_lag_seconds",
      "Age of the newest snapshot; on the target, of the newest proven copy.",
      each(({ lagMs }) => (lagMs === undefined ? undefined : seconds(lagMs))),
    ),
    metric(
      "iab_snapshots",
      "Snapshots of ours.",
      each(({ own, unknown }) => (unknown === undefined ? own : undefined)),
    ),
    metric(
      "iab_lost_snapshots",
      "Snapshots of a kept history that the last run left on the target, and that are gone.",
      each(({ side, lost, unknown }) => (side === "target" && unknown === undefined ? lost.length : undefined)),
    ),
    metric(
      "iab_unknown",
      "Of which nobody can tell what there is now: the member that holds it does not answer.",
      each(({ unknown }) => (unknown === undefined ? undefined : 1)),
    ),
    metric(
      "iab_snapshot_bytes",
      "What the snapshots of ours hold.",
      each(({ sizeBytes }) => sizeBytes),
    ),
    metric(
      "iab_left_out",
      "Workloads that the next run would leave out.",
      skipped.filter(({ failed }) => failed).map(({ workload }) => ({ labels: labelled(workload), value: 1 })),
    ),
    metric(
      "iab_uncovered",
      "What the configuration says nothing of.",
      uncovered.map(({ unit, side }) => ({ labels: labelled(unit, { side }), value: 1 })),
    ),
  ].join("");
}

function metric(name: string, help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return "";
  const lines = samples.map(({ labels, value }) => `${name}${labelsText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("")}`;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function seconds(at: EpochMs): number {
  return at / 1000;
}
