import { MARKS } from "../model/marks.ts";
import type { Workload } from "../model/state.ts";

/** What restores and drills call what they make, until it has its place or goes again. */
const MADE = /^(restore|drill)-[0-9a-f]{12}$/;

/** Whether it comes and goes with work of ours: a copy that is exported from, or made by a restore. No workload of anybody. */
export function isPassing({ name, config }: Workload): boolean {
  return config[MARKS.offsite] !== undefined || (isHalfRestored(config) && MADE.test(name));
}

/** Whether a restore of it has not come to its end: it may not hold what its name says. */
export function isHalfRestored(config: Workload["config"]): boolean {
  return config[MARKS.restoring] !== undefined;
}
