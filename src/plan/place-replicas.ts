import type { Warning } from "../model/plan.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import { type ServerIndex, type StateIndex, servingProject } from "./index-state.ts";
import { membersOf } from "./member-refusal.ts";
import type { Routed } from "./plan-workload.ts";
import { usedVolumes } from "./used-volumes.ts";

/** Where the replicas of a cluster are, or will be made. */
export type Placements = {
  /** The member, or `@group`, by the id of the source; without one Incus chooses. */
  readonly members: ReadonlyMap<string, string>;
  readonly warnings: readonly Warning[];
};

/**
 * A replica is refreshed on the member that holds it, which Incus before 7.0 does not see to by itself. An instance
 * and the volumes that it uses have to be on the same member: they are placed as one party.
 */
export function placeReplicas(routes: readonly Routed[], index: StateIndex): Placements {
  if (!index.target.facts.clustered) return { members: new Map(), warnings: [] };
  const members = new Map(routes.flatMap((routed) => locationOf(routed).map((at) => [idOf(routed), at] as const)));
  const warnings: Warning[] = [];
  const crowd = crowdOf(index.target);
  for (const party of partiesOf(routes, index)) {
    const fresh = party.routed.filter((each) => each.route.kind === "copy" && !members.has(idOf(each)));
    if (fresh.length === 0) continue;
    const member = chooseMember(party, index.target, crowd);
    if (member === undefined) continue;
    crowd.set(member, (crowd.get(member) ?? 0) + 1);
    for (const each of fresh) members.set(idOf(each), member);
    warnings.push(...fresh.flatMap((each) => elsewhere(each, member, index.target)));
  }
  return { members, warnings };
}

function idOf({ pair }: Routed): string {
  return unitId(pair.job.source);
}

/** The member that holds the replica. What lies in storage that all members share is with none. */
function locationOf({ pair, route }: Routed): string[] {
  const replica = route.kind === "none" ? pair.replica : route.pair.replica;
  return replica === undefined || replica.location === "" ? [] : [replica.location];
}

function crowdOf({ instances }: ServerIndex): Map<string, number> {
  const crowd = new Map<string, number>();
  for (const { location } of instances.values()) crowd.set(location, (crowd.get(location) ?? 0) + 1);
  return crowd;
}

/** What has to be on one member: an instance, its volumes, and whatever else uses those. */
type Party = {
  readonly routed: readonly Routed[];
  /** The members that hold volumes which are not replicas of this run. */
  readonly anchors: readonly string[];
};

function partiesOf(routes: readonly Routed[], index: StateIndex): Set<Party> {
  const parties = new Map<string, Party>(routes.map((each) => [idOf(each), { routed: [each], anchors: [] }]));
  for (const { pair } of routes) {
    if (pair.kind === "volume") continue;
    for (const volume of usedVolumes(pair.source, index.source)) {
      const here = parties.get(unitId(pair.job.source)) ?? NOBODY;
      const there = parties.get(unitId(volume)) ?? {
        routed: [],
        anchors: anchorOf(pair.job.target, volume, index.target),
      };
      if (here !== there) join(parties, here, there);
    }
  }
  return new Set(parties.values());
}

const NOBODY: Party = { routed: [], anchors: [] };

function join(parties: Map<string, Party>, one: Party, other: Party): void {
  const joined = { routed: [...one.routed, ...other.routed], anchors: [...one.anchors, ...other.anchors] };
  for (const each of joined.routed) parties.set(idOf(each), joined);
}

/** A volume of the target that an instance's device will find under its own name. */
function anchorOf(
  instance: Unit,
  { pool, name }: { readonly pool: string; readonly name: string },
  target: ServerIndex,
) {
  const project = servingProject(target, instance.project, "ownVolumes");
  const at = target.volumes.get(unitId({ kind: "volume", project, pool, name }))?.location ?? "";
  return at === "" ? [] : [at];
}

/** Where its replicas are already; else where the configuration wishes them; else, if it must stay together, the emptiest. */
function chooseMember(party: Party, target: ServerIndex, crowd: ReadonlyMap<string, number>): string | undefined {
  const [anchor] = [...instancesFirst(party.routed).flatMap(locationOf), ...party.anchors];
  if (anchor !== undefined) return anchor;
  const [wish] = instancesFirst(party.routed).flatMap(({ pair }) => pair.job.targetMember ?? []);
  const alone = party.routed.length === 1;
  if (wish !== undefined && !wish.startsWith("@")) return wish;
  // Incus chooses a member for an instance alone; for a volume it would take the one that is asked.
  if (alone && (wish === undefined || party.routed.every(({ pair }) => pair.kind === "instance"))) return wish;
  const count = (member: string) => crowd.get(member) ?? 0;
  return [...membersOf(wish, target)].sort((a, b) => count(a) - count(b) || (a < b ? -1 : 1))[0];
}

function instancesFirst(routed: readonly Routed[]): Routed[] {
  const of = (kind: "instance" | "volume") => routed.filter(({ pair }) => pair.kind === kind);
  return [...of("instance"), ...of("volume")];
}

function elsewhere({ pair }: Routed, member: string, target: ServerIndex): Warning[] {
  const wish = pair.job.targetMember;
  if (wish === undefined || wish === member || (wish.startsWith("@") && membersOf(wish, target).includes(member)))
    return [];
  const text = `The replica of ${unitLabel(pair.job.source)} is made on member ${member}, not on ${wish}: it has to be where what belongs to it is`;
  return [{ code: "member.differs", workload: pair.job.source, text }];
}
