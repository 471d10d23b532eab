import { z } from "zod";
import type { HeaderSnapshot } from "./migration-header.ts";
import { parseNanos, rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import { Refusal } from "./reply.ts";
import type { InstanceRecord, SnapshotRecord, UnitRecord } from "./state.ts";
import { rootDevice } from "./state.ts";
import { copyOfDevices } from "./unit-json.ts";

/** The configuration that goes ahead of the data, as far as the target reads it. */
export const Index = z.looseObject({
  config: z.looseObject({
    volume_snapshots: z
      .array(
        z.looseObject({
          name: z.string(),
          description: z.string().default(""),
          config: z.record(z.string(), z.string()).default({}),
          created_at: z.string(),
          expires_at: z.string().nullish(),
        }),
      )
      .default([]),
  }),
});
export type Index = z.infer<typeof Index>;

/** A volume's snapshot, with the date down to the nanosecond. */
export function recordFromIndex(index: Index, name: string): SnapshotRecord | undefined {
  const found = index.config.volume_snapshots.find((snapshot) => snapshot.name === name);
  const createdAt = parseNanos(found?.created_at ?? "");
  if (found === undefined || createdAt === undefined) return undefined;
  const { description, config, expires_at } = found;
  return { name, createdAt, expiresAt: expires_at ?? ZERO_DATE, description, config, devices: {} };
}

/** An instance's snapshot: whole seconds, the source's settings, and a root disk in the target's pool. */
export function recordFromHeader(unit: UnitRecord, snapshot: HeaderSnapshot): SnapshotRecord {
  const { name, localConfig, localDevices, creationDate, expiryDate } = snapshot;
  const isInstance = unit.kind === "instance";
  const devices = copyOfDevices(localDevices);
  const root = rootDevice(devices);
  const rootKeys = root === undefined ? undefined : devices[root.name];
  if (rootKeys !== undefined) rootKeys["pool"] = unit.pool;
  return {
    name,
    createdAt: isInstance ? creationDate * 1_000_000_000n : creationDate,
    expiresAt: expiryDate <= 0n ? ZERO_DATE : rfc3339Nanos(expiryDate * 1_000_000_000n),
    description: "",
    config: localConfig,
    devices,
  };
}

/** Lists snapshots whose data will come. */
export function writeDown(unit: UnitRecord, records: readonly SnapshotRecord[]): readonly SnapshotRecord[] {
  const names = new Set(records.map(({ name }) => name));
  unit.snapshots = [...unit.snapshots.filter(({ name }) => !names.has(name)), ...records].sort(byDate);
  return records;
}

/** Lists them no more: but for one that has another name by now, which is nobody's to take back. */
export function takeBack(unit: UnitRecord, written: readonly SnapshotRecord[], names: readonly string[]): void {
  unit.snapshots = unit.snapshots.filter((each) => !(written.includes(each) && names.includes(each.name)));
}

/** The volume of a snapshot that the instance does not know is in the way of another one of that name. */
export function refuseHalves(instance: InstanceRecord, names: readonly string[]): void {
  const half = names.find((name) => instance.halves.has(name));
  if (half === undefined) return;
  const { name, project, pool, type } = instance;
  const volume = `volume "${name}/${half}" for project "${project}" in pool "${pool}" of type "${type}s"`;
  const unique =
    "UNIQUE constraint failed: storage_volumes_snapshots.storage_volume_id, storage_volumes_snapshots.name";
  throw new Refusal(
    500,
    `Failed creating instance on target: Error inserting ${volume} into database "Failed creating volume snapshot record: ${unique}"`,
  );
}

/** What becomes of an instance's snapshots whose target loses the source after the last of the data. */
export function halve(unit: UnitRecord, written: readonly SnapshotRecord[]): void {
  if (unit.kind !== "instance") return;
  takeBack(
    unit,
    written,
    written.map(({ name }) => name),
  );
  for (const { name } of written) unit.halves.add(name);
}

function byDate(a: SnapshotRecord, b: SnapshotRecord): number {
  return a.createdAt < b.createdAt ? -1 : Number(a.createdAt > b.createdAt);
}
