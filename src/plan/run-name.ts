import { snapshotName } from "../model/snapshot.ts";
import type { State } from "../model/state.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";

/** The name of a run that begins now. A run that ended, or died, within this very second has taken its name already. */
export function runName({ source }: State, now: EpochMs): string {
  const taken = new Set(
    [...source.instances, ...source.volumes].flatMap(({ snapshots }) => snapshots.map(({ name }) => name)),
  );
  let at = now;
  while (taken.has(snapshotName(at))) at += SECOND_MS;
  return snapshotName(at);
}
