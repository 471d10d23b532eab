import { createHash } from "node:crypto";
import { rfc3339Nanos } from "./nanos.ts";
import type { State, UnitRecord } from "./state.ts";

/** A state as plain data that can be compared and printed: dates as text, contents as digests. */
export function plainState(state: State): unknown {
  const { units, certificates, projects, profiles, networks, pools } = state;
  return structuredClone({
    units: Object.fromEntries([...units].map(([id, unit]) => [id, plainUnit(unit)])),
    certificates: [...certificates.keys()],
    projects: [...projects.values()],
    pools: [...pools.values()],
    networks,
    profiles,
  });
}

function plainUnit(unit: UnitRecord): object {
  return {
    ...unit,
    createdAt: rfc3339Nanos(unit.createdAt),
    ...(unit.kind === "instance" ? { lastUsedAt: rfc3339Nanos(unit.lastUsedAt) } : {}),
    content: digestOf(unit.content),
    snapshots: unit.snapshots.map((snapshot) => ({ ...snapshot, createdAt: rfc3339Nanos(snapshot.createdAt) })),
    datasets: unit.datasets.map((dataset) => ({ ...dataset, content: digestOf(dataset.content) })),
    backups: unit.backups.map(({ name }) => name),
  };
}

export function digestOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
