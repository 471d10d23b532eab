import { randomBytes, randomUUID } from "node:crypto";
import type { Nanos } from "./nanos.ts";
import { ZERO_DATE } from "./nanos.ts";
import type { Dataset, DeviceKeys, Driver, Keys, SnapshotRecord, UnitRecord } from "./state.ts";
import { copyOfDevices } from "./unit-json.ts";

/** A snapshot's identity as its driver makes it: a number for ZFS, a UUID for btrfs. */
export function newGuid(driver: Driver | undefined): string {
  return driver === "zfs" ? BigInt(`0x${randomBytes(8).toString("hex")}`).toString() : randomUUID();
}

type NewSnapshot = {
  readonly name: string;
  readonly createdAt: Nanos;
  readonly expiresAt: string;
  readonly driver: Driver | undefined;
  /** The unit's own description for a volume, as Incus has it. */
  readonly description?: string;
};

/** Takes a snapshot of the live head: a record, and the dataset behind it. */
export function takeSnapshot(unit: UnitRecord, { name, createdAt, expiresAt, driver, description }: NewSnapshot): void {
  const devices: DeviceKeys = unit.kind === "instance" ? copyOfDevices(unit.devices) : {};
  const config: Keys = { ...unit.config };
  unit.snapshots.push({ name, createdAt, expiresAt, description: description ?? "", config, devices });
  unit.datasets.push({ name, guid: newGuid(driver), receivedGuid: "", content: unit.content });
}

export function dropSnapshot(unit: UnitRecord, name: string): void {
  unit.snapshots = unit.snapshots.filter((snapshot) => snapshot.name !== name);
  dropDataset(unit, name);
}

export function dropDataset(unit: UnitRecord, name: string): void {
  unit.datasets = unit.datasets.filter((dataset) => dataset.name !== name);
}

/** What it is renamed to is whole, even if the instance had but announced it and the volume had kept a half of that name. */
export function renameSnapshot(unit: UnitRecord, snapshot: SnapshotRecord, name: string): void {
  if (unit.kind === "instance") unit.halves.delete(snapshot.name);
  const dataset = datasetOf(unit, snapshot.name);
  if (dataset !== undefined) dataset.name = name;
  snapshot.name = name;
}

function datasetOf(unit: UnitRecord, name: string): Dataset | undefined {
  return unit.datasets.find((dataset) => dataset.name === name);
}

const UNITS_MS = new Map([
  ["S", 1000],
  ["M", 60_000],
  ["H", 3_600_000],
  ["d", 86_400_000],
  ["w", 7 * 86_400_000],
  ["m", 30 * 86_400_000],
  ["y", 365 * 86_400_000],
]);

/** When a snapshot expires: what was asked for, or else what the unit's own configuration says. */
export function expiryOf(asked: string | null | undefined, config: Keys, now: Nanos): string {
  if (asked !== null && asked !== undefined) return asked;
  const rule = /^(\d+)([SMHdwmy])$/.exec(config["snapshots.expiry"] ?? "");
  const unitMs = UNITS_MS.get(rule?.[2] ?? "");
  if (rule === null || unitMs === undefined) return ZERO_DATE;
  return new Date(Number(now / 1_000_000n) + Number(rule[1]) * unitMs).toISOString().replace(/\.000Z$/, "Z");
}
