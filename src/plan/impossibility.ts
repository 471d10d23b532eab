import { unitId } from "../model/unit.ts";
import type { ServerIndex, StateIndex } from "./index-state.ts";
import { beingWorkedOn, type Refusal } from "./judge-replica.ts";
import { missingProfiles } from "./missing-profiles.ts";
import type { Orders } from "./orders.ts";
import type { Pair } from "./pair-up.ts";

/** What the servers cannot do at all. */
export function impossibility(
  pair: Pair,
  pool: string,
  { index, orders }: { readonly index: StateIndex; readonly orders: Orders },
): Refusal | undefined {
  const { job, source } = pair;
  const { target } = index;
  const { host, restricted, instanceTypes } = target.facts;
  const hidden = restricted ? ", or the agent's certificate may not use it" : "";
  if (source.snapshots.some(({ name }) => name === orders.run))
    return {
      why: `the source has a snapshot ${orders.run} already`,
      hint: "Another run began in the same second; start again",
    };
  if (target.busy.has(unitId(job.target))) return beingWorkedOn(pair);
  if (!target.projects.has(job.target.project))
    return {
      why: `${host} has no project ${job.target.project}${hidden}`,
      hint: `On the target: incus project create ${job.target.project}. Or name another one in the configuration: targetProject`,
    };
  if (pair.replica === undefined && !target.drivers.has(pool))
    return {
      why: `${host} has no storage pool ${pool}`,
      hint: "Name another one in the configuration: storage, targetStorage",
    };
  if (source.kind === "instance" && !instanceTypes.includes(source.type))
    return { why: `${host} cannot hold a ${source.type}` };
  return lackOfProfiles(pair, target);
}

/** Profiles that the target lacks, and that the agent may not make there. */
function lackOfProfiles({ job, source }: Pair, target: ServerIndex): Refusal | undefined {
  if (source.kind === "volume") return undefined;
  const { project, names, mayBeMade } = missingProfiles(source, job.target.project, target);
  if (names.length === 0 || mayBeMade) return undefined;
  const make = names.map((name) => `incus profile create ${name} --project ${project}`).join("; ");
  return {
    why: `${target.facts.host} has no profile ${names.join(" and no profile ")}, which the snapshots of the instance name, and the agent's certificate may not make profiles in ${project}`,
    hint: `On the target: ${make}. It may stay empty: what the replica lacks then is told`,
  };
}
