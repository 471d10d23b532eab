import { AgentError } from "../model/errors.ts";
import type { EpochMs } from "../model/time.ts";
import type { Unit } from "../model/unit.ts";
import { isMeant } from "../model/workload-name.ts";

/** What a person asks of this run beyond its configuration. */
export type Orders = {
  readonly now: EpochMs;
  /** The name of this run's snapshots. */
  readonly run: string;
  /** Workloads whose replica is to be taken over although it is not marked as theirs. */
  readonly adopt?: readonly string[];
  /** Workloads that are to get a fresh replica. */
  readonly reseed?: readonly string[];
  /** Leave all snapshots where they are, on both sides. */
  readonly withoutPruning?: boolean;
};

/** A name that means no workload is a slip of the pen, and the run that was wanted is not this one. */
export function checkNames(orders: Orders, workloads: readonly Unit[]): void {
  for (const [flag, names] of [["--adopt", orders.adopt ?? []] as const, ["--reseed", orders.reseed ?? []] as const]) {
    const unknown = names.find((name) => !workloads.some((unit) => isMeant(unit, name)));
    if (unknown !== undefined)
      throw new AgentError("usage", `${flag} ${unknown}: no workload of the configuration is called so`);
  }
}

/** Whether a workload is among those that a flag names. */
export function isNamed(unit: Unit, names: readonly string[] = []): boolean {
  return names.some((name) => isMeant(unit, name));
}
