import { globMatches } from "./glob.ts";
import { type Unit, unitId, unitLabel } from "./unit.ts";

/** Whether a workload is meant by what a person typed: `web1`, `project/web1`, `pool/volume`, or a glob of these. */
export function isMeant(unit: Unit, typed: string): boolean {
  return globMatches(typed, unitLabel(unit)) || globMatches(typed, unitId(unit));
}
