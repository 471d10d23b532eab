import type { Side } from "../model/job.ts";
import type { SideStatus, Status, WorkloadStatus } from "../model/status.ts";
import { rfc3339 } from "../model/time.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import { agoText, countText, durationText, sizeText } from "./amounts.ts";
import { hanging, type Look, paint } from "./look.ts";
import { type Column, csvText, tableText } from "./table.ts";

/** The status for people: a line for each workload, then what stands in the way, then what nobody backs up. */
export function statusText(status: Status, look: Look): string {
  const { workloads, hosts, uncovered, warnings } = status;
  const blocked = workloads.filter(({ why }) => why !== undefined);
  const blocks = [
    [paint(`${hosts.source} to ${hosts.target}`, "bold", look)],
    ...(workloads.length === 0 ? [] : [[tableText(columnsFor(status, look), workloads).trimEnd()]]),
    ...(blocked.length === 0
      ? []
      : [[paint("The next run leaves out", "bold", look), ...blocked.flatMap((each) => blockedLines(each, look))]]),
    ...(warnings.length === 0
      ? []
      : [[paint("Warnings", "bold", look), ...warnings.flatMap((text) => hanging("  ", text, look))]]),
    ...(uncovered.length === 0
      ? []
      : [
          [
            paint(`In no configuration: ${countText(uncovered.length, "workload")} of ${hosts.source}`, "bold", look),
            ...hanging("  ", uncovered.map(unitLabel).join(", "), look),
          ],
        ]),
  ];
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** The status as comma-separated values. */
export function statusCsv(status: Status): string {
  return csvText(columnsFor(status, { width: 0, colour: false }), status.workloads);
}

/** The status for programs. Its shape grows by addition. */
export function statusJson({ at, hosts, workloads, uncovered, warnings }: Status): Record<string, unknown> {
  return {
    version: 1,
    at: rfc3339(at),
    hosts,
    workloads: workloads.map(workloadJson),
    uncovered: uncovered.map(unitId),
    warnings,
  };
}

function columnsFor({ at, hosts }: Status, look: Look): Column<WorkloadStatus>[] {
  const newest = (side: Side): Column<WorkloadStatus> => ({
    title: `NEWEST ON ${hosts[side].toUpperCase()}`,
    cell: ({ sides }) => agoOr(sides[side]?.newest?.at, at),
    align: "right",
  });
  const held = (side: Side): Column<WorkloadStatus> => ({
    title: `ON ${hosts[side].toUpperCase()}`,
    cell: ({ sides }) => heldText(sides[side]),
    align: "right",
  });
  return [
    { title: "WORKLOAD", cell: ({ workload }) => unitLabel(workload) },
    { title: "STATE", cell: ({ state }) => stateText(state, look) },
    { title: "PROVEN COPY", cell: ({ proven }) => proven?.name ?? "" },
    { title: "LAG", cell: ({ lagMs }) => (lagMs === undefined ? "" : durationText(lagMs)), align: "right" },
    newest("source"),
    held("source"),
    newest("target"),
    held("target"),
  ];
}

function agoOr(at: number | undefined, now: number): string {
  return at === undefined ? "" : agoText(at, now);
}

/** Ours, then with a plus those of others, then what they hold. */
function heldText(side: SideStatus | undefined): string {
  if (side === undefined) return "";
  const others = side.foreign === 0 ? "" : ` + ${side.foreign}`;
  return `${side.own}${others}${side.sizeBytes === undefined ? "" : ` (${sizeText(side.sizeBytes)})`}`;
}

function stateText(state: WorkloadStatus["state"], look: Look): string {
  if (state === "ok") return paint("OK", "green", look);
  return state === "never" ? paint("NOT COPIED YET", "yellow", look) : paint("BLOCKED", "red", look);
}

function blockedLines({ workload, why, hint }: WorkloadStatus, look: Look): string[] {
  const lines = hanging("  ", `${unitLabel(workload)}: ${why}`, look);
  return hint === undefined ? lines : [...lines, ...hanging("    ", hint, look)];
}

function workloadJson(status: WorkloadStatus): Record<string, unknown> {
  const { workload, target, state, why, hint, sides, proven, lagMs } = status;
  return {
    workload: unitId(workload),
    kind: workload.kind,
    target: target === undefined ? null : unitId(target),
    state,
    why,
    hint,
    proven: proven === undefined ? null : { name: proven.name, at: rfc3339(proven.at) },
    lagMs: lagMs ?? null,
    sides: { source: sideJson(sides.source), target: sideJson(sides.target) },
  };
}

function sideJson(side: SideStatus | undefined): Record<string, unknown> | null {
  if (side === undefined) return null;
  const { newest, own, foreign, sizeBytes } = side;
  return {
    newest: newest === undefined ? null : { name: newest.name, at: rfc3339(newest.at) },
    own,
    foreign,
    sizeBytes: sizeBytes ?? null,
  };
}
