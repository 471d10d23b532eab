import { z } from "zod";
import type { HeaderSnapshot } from "./migration-header.ts";
import { parseNanos, rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import type { SnapshotRecord, UnitRecord } from "./state.ts";
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
type Index = z.infer<typeof Index>;

/** A volume's snapshot, with the date down to the nanosecond. */
export function recordFromIndex(index: Index, name: string): SnapshotRecord | undefined {
  const found = index.config.volume_snapshots.find((snapshot) => snapshot.name === name);
  const createdAt = parseNanos(found?.created_at ?? "");
  if (found === undefined || createdAt === undefined) return undefined;
  const { description, config, expires_at } = found;
  return { name, createdAt, expiresAt: expires_at ?? ZERO_DATE, description, config, devices: {}, profiles: [] };
}

/** An instance's snapshot: whole seconds, the source's settings, and a root disk in the target's pool. */
export function recordFromHeader(unit: UnitRecord, snapshot: HeaderSnapshot): SnapshotRecord {
  const { name, localConfig, localDevices, profiles, creationDate, expiryDate } = snapshot;
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
    profiles: [...profiles],
  };
}
