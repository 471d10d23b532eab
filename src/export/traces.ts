import { createHash } from "node:crypto";
import { MARKS } from "../model/marks.ts";
import type { ReadingRun } from "../model/reading.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Config } from "../model/state.ts";
import { DAY_MS, type EpochMs, SECOND_MS } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";

const RUN_NAME = /^offsite-(\d{4})(\d{2})(\d{2})-(\d{2})(\d{2})(\d{2})-[0-9a-f]{4}$/;
const KEPT_DAYS = 7;

/** What a copy that we make for the time of its reading bears: whose it is, and of which run. */
export function copyMark({ owner, name }: ReadingRun): string {
  return `${owner} ${name}`;
}

/** Whether a copy bears the owner's mark, and is called as we call copies. */
export function isCopyOf(owner: string, { name, config }: { readonly name: string; readonly config: Config }): boolean {
  return (config[MARKS.offsite] ?? "").startsWith(`${owner} `) && /^offsite-[0-9a-f]{16}$/.test(name);
}

/** What the copy of a unit is called: within what Incus takes for a name, and unlike that of any other unit or run. */
export function copyName(unit: Unit, { owner, name }: ReadingRun): string {
  return `offsite-${hashOf(`${owner} ${name} ${unitId(unit)}`).slice(0, 16)}`;
}

/**
 * When the server itself removes the snapshot of a run that died: some days after its start. As a snapshot cannot bear a
 * mark, the seconds beyond the full days tell whose it is.
 */
export function snapshotExpiry({ owner, name }: ReadingRun): EpochMs | undefined {
  const digits = RUN_NAME.exec(name)?.slice(1).map(Number);
  if (digits === undefined) return undefined;
  const [year = 0, month = 1, day = 0, hour = 0, minute = 0, second = 0] = digits;
  const startedAt = Date.UTC(year, month - 1, day, hour, minute, second);
  const own = Number.parseInt(hashOf(owner).slice(0, 8), 16) % (DAY_MS / SECOND_MS);
  return startedAt + KEPT_DAYS * DAY_MS + own * SECOND_MS;
}

/** Whether something is called as runs are, anybody's. */
export function isRunName(name: string): boolean {
  return RUN_NAME.test(name);
}

/** Whether one of the owner's runs made the snapshot. */
export function isSnapshotOf(owner: string, { name, expiresAt }: Snapshot): boolean {
  const expected = snapshotExpiry({ owner, name });
  return expected !== undefined && expiresAt === expected;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
