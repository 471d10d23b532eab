import type { Progress } from "../model/copy.ts";
import type { Operation } from "./answer.ts";

const TEXT = /^(?:(.+): )?([\d.]+)([kMGTP]?B) \(([\d.]+)([kMGTP]?B)\/s\)$/;
const FACTOR: Readonly<Record<string, number>> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, PB: 1e15 };

/** How far an operation says it is. Incus has only words for it; words of another form are no progress. */
export function progressOf(operation: Operation): Progress | undefined {
  for (const [key, text] of Object.entries(operation.metadata ?? {})) {
    if (!key.endsWith("_progress") || typeof text !== "string") continue;
    const [, what, count = "", unit = "", speed = "", speedUnit = ""] = TEXT.exec(text) ?? [];
    if (count === "") continue;
    return { bytes: inBytes(count, unit), totalBytes: undefined, bytesPerSecond: inBytes(speed, speedUnit), what };
  }
  return undefined;
}

function inBytes(count: string, unit: string): number {
  return Math.round(Number(count) * (FACTOR[unit] ?? 1));
}
