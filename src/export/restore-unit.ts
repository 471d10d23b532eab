import { randomBytes } from "node:crypto";
import type { Progress } from "../model/copy.ts";
import type { UnitFiles, UnitRecord } from "../model/export.ts";
import { MARKS } from "../model/marks.ts";
import type { Clock, Server } from "../model/ports.ts";
import { snapshotName } from "../model/snapshot.ts";
import type { Pool } from "../model/state.ts";
import { type InstanceUnit, type Unit, unitId } from "../model/unit.ts";
import { askedMark } from "./asked-restore.ts";
import type { BackupContent } from "./backup-content.ts";
import { makeUnit } from "./make-unit.ts";
import { putInPlace } from "./put-in-place.ts";
import { restoredRecord, type Wish } from "./restored-record.ts";

/** A restore that the configuration asks for, which happens once. */
export type Asked = {
  /** The backup's whole id. */
  readonly backup: string;
  /** Hears that it begins to take the place of what is there. */
  placing(): void;
};

export type UnitRestore = {
  readonly server: Server & UnitFiles;
  readonly clock: Clock;
  readonly content: BackupContent;
  /** What it is to be, and whether there is one of this name that it replaces. */
  readonly unit: Unit;
  readonly replaces: boolean;
  readonly pool: Pool;
  readonly without: readonly string[];
  readonly asked: Asked | undefined;
  readonly onProgress: (progress: Progress) => void;
};

/** What was left out of a copy, and what the one is called now that was there. */
export type Restored = { readonly leftOut: readonly string[]; readonly aside: string | undefined };

const UNDO_MS = 120_000;

/** Makes a unit of what is in the archive, whole or not at all. One that was asked for bears its last mark afterwards. */
export async function restoreUnit(order: UnitRestore, signal: AbortSignal): Promise<Restored> {
  const { server, clock, content, unit, replaces, pool, without, asked, onProgress } = order;
  const made = replaces ? { ...unit, name: `restore-${randomBytes(6).toString("hex")}` } : unit;
  const mark = asked === undefined ? randomBytes(8).toString("hex") : askedMark(asked.backup, "making");
  const as = !replaces && unitId(unit) === idOf(content.record) ? "itself" : "copy";
  const wish: Wish = { unit: made, pool, as, without, mark };
  const { record, leftOut } = restoredRecord(content.record, wish);
  const file = (under: AbortSignal) => content.file(record, under);
  const placed = asked === undefined ? "" : askedMark(asked.backup, "placed");
  // What is to take a place bears its mark until then, so that no run takes it for a workload.
  const whole = replaces ? mark : placed;
  await makeUnit({ server, clock, onProgress }, { unit: made, pool: pool.name, mark, whole, file }, signal);
  if (!replaces) return { leftOut, aside: undefined };
  const itself = restoredRecord(content.record, { ...wish, unit, as: "itself" }).record;
  const aside = await replaceOld(order, { restored: made, record: itself }, signal);
  await server.patchConfig(unit, { [MARKS.restoring]: placed }, signal);
  return { leftOut: [], aside };
}

type Replacing = { readonly restored: Unit; readonly record: UnitRecord };

/** With a snapshot of what is there. What cannot take its place is removed again: it is in the archive still. */
async function replaceOld(
  { server, clock, unit, asked }: UnitRestore,
  { restored, record }: Replacing,
  signal: AbortSignal,
): Promise<string> {
  const safety = snapshotName(clock.now()).replace("IAB_", "iab-restore-");
  const aside = `${unit.name}-before-${safety.slice("iab-restore-".length)}`;
  const begin = async (running: readonly InstanceUnit[]) => {
    if (asked === undefined) return;
    asked.placing();
    await server.patchConfig(restored, { [MARKS.restoring]: askedMark(asked.backup, "placing", running) }, signal);
  };
  let isDone = false;
  try {
    await server.createSnapshot(unit, safety, signal);
    await putInPlace(server, { old: unit, restored, aside, record, begin }, signal);
    isDone = true;
  } finally {
    if (!isDone) await server.remove(restored, AbortSignal.timeout(UNDO_MS));
  }
  return aside;
}

function idOf(record: UnitRecord): string {
  const words = record.kind === "instance" ? record.instance : record.volume;
  const project = String(words["project"] ?? "default");
  const name = String(words["name"]);
  return unitId(
    record.kind === "instance"
      ? { kind: "instance", project, name }
      : { kind: "volume", project, pool: record.pool.name, name },
  );
}
