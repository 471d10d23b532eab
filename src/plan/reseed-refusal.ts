import type { Workload } from "../model/state.ts";
import { unitLabel } from "../model/unit.ts";
import type { Refusal } from "./judge-replica.ts";
import type { Pair } from "./pair-up.ts";

const PROTECTED = "security.protection.delete";

/** Why a replica cannot give way to a fresh copy: the server would refuse, after all has been sent. */
export function reseedRefusal({ job }: Pair, replica: Workload): Refusal | undefined {
  if (replica.kind === "volume" || replica.expandedConfig[PROTECTED] !== "true") return undefined;
  const place = unitLabel(job.target);
  return {
    why: `its replica ${place} is protected and cannot be replaced`,
    hint: `On the target: incus config set ${place} ${PROTECTED}=false`,
  };
}
