import type { Progress } from "../model/copy.ts";
import type { Server } from "../model/ports.ts";
import type { Unit } from "../model/unit.ts";

type Tell = (progress: Progress) => void;

/** Tells the progress of a copy that sends all there is of a unit: of how much, where the source knows. */
export async function withTotal(
  unit: Unit,
  source: Pick<Server, "usage">,
  tell: Tell,
  signal: AbortSignal,
): Promise<Tell> {
  const usage = await source.usage(unit, signal);
  return (progress) => tell({ ...progress, totalBytes: progress.totalBytes ?? usage });
}
