import { MARKS } from "../model/marks.ts";
import type { Workload } from "../model/state.ts";

/** What the names of scratch volumes begin with. */
const STEM = "iab-rehearsal";

/** The name of the scratch volume that is made between two servers for one kind of rehearsal. */
export function scratchName(mark: string, kind: readonly string[]): string {
  return [STEM, mark, ...kind].join("-");
}

/** Whether it was made for a rehearsal: it is no workload, whatever the configuration says. */
export function isScratch({ name, config }: Workload): boolean {
  return name.startsWith(`${STEM}-`) && config[MARKS.scratch] !== undefined;
}
