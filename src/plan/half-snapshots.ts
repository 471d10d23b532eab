import type { InstanceCopy } from "../model/copy.ts";
import type { MendStep, StepId } from "../model/plan.ts";
import { isOwnSnapshotName } from "../model/snapshot.ts";
import type { Workload } from "../model/state.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import type { Comparison } from "./compare-snapshots.ts";
import type { Refusal } from "./judge-replica.ts";
import type { Pair } from "./pair-up.ts";

export type Halves = {
  /** Ours, and on the source: they go, and are sent again. */
  readonly mends: readonly string[];
  /** They stay, since nobody has the right to say that nothing is lost with them. */
  readonly stays: readonly string[];
};

export const NO_HALVES: Halves = { mends: [], stays: [] };

/**
 * The snapshots of which a replica's server keeps the volume alone: it received them, and lost the source before it could
 * say so. No listing shows them, and in every later refresh their names are in the way; the replica cannot be deleted.
 */
export function halvesOf(replica: Workload, { sends }: Comparison): Halves {
  const found = replica.kind === "instance" ? (replica.halfSnapshots ?? []) : [];
  const sent = new Set(sends.map(({ name }) => name));
  const isMendable = (name: string) => isOwnSnapshotName(name) && sent.has(name);
  return { mends: found.filter(isMendable), stays: found.filter((name) => !isMendable(name)) };
}

/** Why a refresh would fail: a half that stays bears the name of what has to be sent. */
export function halfInTheWay(pair: Pair, { stays }: Halves, { sends }: Comparison): Refusal | undefined {
  const blocking = stays.filter((name) => sends.some((snapshot) => snapshot.name === name));
  return blocking.length === 0 ? undefined : halfRefusal(pair, blocking);
}

/** Why a replica cannot be deleted as it is, or refreshed. */
export function halfRefusal({ job }: Pair, names: readonly string[]): Refusal {
  const place = unitLabel(job.target);
  return {
    why: `its replica ${place} keeps half of ${names.join(", ")}, from a copy that was cut off at its very end`,
    hint: `Run again after this, on the target as root: ${names.map((name) => remedy(job.target, name)).join(" && ")}`,
  };
}

/** The snapshot's record is put back, and then both halves deleted together. */
function remedy({ project, name: instance }: Unit, name: string): string {
  const into = "INSERT INTO instances_snapshots (instance_id, name, description)";
  const from = "FROM instances i JOIN projects p ON p.id = i.project_id";
  const sql = `${into} SELECT i.id, '${name}', '' ${from} WHERE i.name = '${instance}' AND p.name = '${project}'`;
  return `incus admin sql global "${sql}" && incus snapshot delete ${instance} ${name} --project ${project}`;
}

/** Removes the halves by way of a copy that never comes to its data. */
export function mendStep(copy: InstanceCopy, names: readonly string[], needs: readonly StepId[]): MendStep {
  const { source: workload } = copy;
  return { kind: "mend", id: `mend:${unitId(workload)}`, needs, workload, copy: { ...copy, mode: "relay" }, names };
}
