import { z } from "zod";
import type { Progress } from "../model/copy.ts";
import type { UnitFiles, UnitRecord } from "../model/export.ts";
import { MARKS } from "../model/marks.ts";
import type { Clock, Server } from "../model/ports.ts";
import { MINUTE_MS, SECOND_MS } from "../model/time.ts";
import type { Unit } from "../model/unit.ts";

type Making = {
  readonly server: Server & UnitFiles;
  readonly clock: Clock;
  readonly onProgress: (progress: Progress) => void;
};

export type NewUnit = {
  readonly unit: Unit;
  readonly pool: string;
  /** What it is made from bears this as `MARKS.restoring`, */
  readonly mark: string;
  /** and this when it is whole; nothing, if that is empty. */
  readonly whole: string;
  readonly file: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
};

const Config = z.record(z.string(), z.string());
const UNDO_MS = 10 * MINUTE_MS;
/** A server that has a whole file may take as long before it shows that it makes something of it. */
const LATE_MS = 5 * SECOND_MS;

/** Makes a unit that is not there yet out of a file. One that was made by half is removed again, and nobody else's. */
export async function makeUnit(
  { server, clock, onProgress }: Making,
  made: NewUnit,
  signal: AbortSignal,
): Promise<void> {
  const { unit, pool, mark, whole, file } = made;
  let isWhole = false;
  try {
    await server.importFile({ unit, pool }, file(signal), onProgress, signal);
    await server.patchConfig(unit, { [MARKS.restoring]: whole }, signal);
    isWhole = true;
  } finally {
    if (!isWhole) await removeHalf(server, clock, unit, mark);
  }
}

/** An import that was given up may go on, or only begin; what it makes can only be removed when it is there. */
async function removeHalf(server: Making["server"], clock: Clock, unit: Unit, mark: string): Promise<void> {
  const signal = AbortSignal.timeout(UNDO_MS);
  const until = clock.now() + LATE_MS;
  for (;;) {
    const isBusy = await server.isBusy(unit, signal);
    const record = isBusy ? undefined : await server.recordOf(unit, signal);
    if (record !== undefined) {
      if (markOf(record) === mark) await server.remove(unit, signal);
      return;
    }
    if (!isBusy && clock.now() >= until) return;
    await clock.sleep(SECOND_MS, signal);
  }
}

/** What a unit bears while it is being made. */
function markOf(record: UnitRecord): string | undefined {
  const words = record.kind === "instance" ? record.instance : record.volume;
  return Config.safeParse(words["config"]).data?.[MARKS.restoring];
}
