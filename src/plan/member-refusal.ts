import type { Workload } from "../model/state.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import type { ServerIndex, StateIndex } from "./index-state.ts";
import type { Refusal } from "./judge-replica.ts";
import type { Pair } from "./pair-up.ts";

const ONLINE = "Online";
const WAIT = "The run that finds the member back goes on with it; until then nothing of it is pruned";

/** Why a workload must wait for the members of a cluster, or for a person to say which of them is meant. */
export function memberRefusal({ job, source, replica }: Pair, index: StateIndex): Refusal | undefined {
  return (
    severalHolders(job.source, index.source) ??
    severalHolders(job.target, index.target) ??
    absent(source, "it", index.source) ??
    (replica === undefined
      ? unplaceable(job.targetMember, index.target)
      : absent(replica, `its replica ${unitLabel(job.target)}`, index.target))
  );
}

function severalHolders(unit: Unit, { facts, holders }: ServerIndex): Refusal | undefined {
  const members = holders.get(unitId(unit));
  if (members === undefined) return undefined;
  return {
    why: `${members.join(" and ")} of ${facts.host} each have a volume ${unitLabel(unit)}`,
    hint: "Rename all but one: nobody can say which of them is meant",
  };
}

function absent(workload: Workload, what: string, server: ServerIndex): Refusal | undefined {
  if (!isAway(workload, server)) return undefined;
  const { location } = workload;
  return {
    why: `${what} is on member ${location} of ${server.facts.host}, which ${absence(location, server)}`,
    hint: WAIT,
  };
}

/** Why nobody can tell what there is of a workload now. */
export function awayText(workload: Workload, server: ServerIndex): string | undefined {
  if (!isAway(workload, server)) return undefined;
  return `member ${workload.location} ${absence(workload.location, server)}`;
}

function absence(location: string, server: ServerIndex): string {
  return isOffline(location, server) ? "is offline" : "does not answer";
}

/** Of what a member holds that does not answer, a server knows no more than that it exists: it may seem to be empty. */
export function isAway({ location }: Workload, server: ServerIndex): boolean {
  return isOffline(location, server) || server.silent.has(location);
}

function isOffline(location: string, { members }: ServerIndex): boolean {
  return members.get(location)?.status === "Offline";
}

/** Where a new replica is to be made, and cannot be. */
function unplaceable(wish: string | undefined, { facts, members }: ServerIndex): Refusal | undefined {
  if (wish === undefined || !facts.clustered) return undefined;
  const hint = "See `target` in the configuration, and `incus cluster list` on the target";
  if (wish.startsWith("@")) {
    if (membersOf(wish, { members }).length > 0) return undefined;
    return { why: `${facts.host} has no member online in the group ${wish.slice(1)}`, hint };
  }
  const status = members.get(wish)?.status;
  if (status === undefined) return { why: `${facts.host} has no member ${wish}`, hint };
  if (status === ONLINE) return undefined;
  return { why: `member ${wish} of ${facts.host}, where it is to go, is ${status.toLowerCase()}`, hint };
}

/** The members that may take a new replica: all that are online, or those of the group that is wished for. */
export function membersOf(wish: string | undefined, { members }: Pick<ServerIndex, "members">): readonly string[] {
  const group = wish?.startsWith("@") ? wish.slice(1) : undefined;
  return [...members.values()]
    .filter(({ status, groups }) => status === ONLINE && (group === undefined || groups.includes(group)))
    .map(({ name }) => name);
}
