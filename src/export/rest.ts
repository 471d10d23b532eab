import type { UnitFiles, UnitRecord } from "../model/export.ts";
import { MARKS } from "../model/marks.ts";
import type { Unit } from "../model/unit.ts";

/** By what a workload at rest is known to have stayed so: an instance by when it last ran. */
export type Rest = string;

type Looking = Pick<UnitFiles, "recordOf">;

/** How a workload rests; undefined for one that runs, or that somebody may write to at any moment. */
export async function restOf(server: Looking, unit: Unit, signal: AbortSignal): Promise<Rest | undefined> {
  const record = await server.recordOf(unit, signal);
  return record === undefined ? undefined : restOfRecord(record);
}

/** Whether a workload has not stirred since. */
export async function isAtRest(server: Looking, unit: Unit, rest: Rest, signal: AbortSignal): Promise<boolean> {
  return (await restOf(server, unit, signal)) === rest;
}

function restOfRecord(record: UnitRecord): Rest | undefined {
  const words = record.kind === "instance" ? record.instance : record.volume;
  const config = asConfig(words["config"]);
  // A replica is refreshed without being started, and who has stopped an instance for a moment will start it again.
  if (config[MARKS.source] !== undefined || config[MARKS.stopped] !== undefined) return undefined;
  if (record.kind === "instance") {
    return words["status"] === "Stopped" ? `stopped since ${String(words["last_used_at"])}` : undefined;
  }
  const users = words["used_by"];
  return Array.isArray(users) && users.length > 0 ? undefined : "unused";
}

function asConfig(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
