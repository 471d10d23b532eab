import type { Side } from "../model/job.ts";
import type {
  Instance,
  Member,
  Network,
  Profile,
  Project,
  ServerFacts,
  ServerState,
  State,
  Volume,
  Workload,
} from "../model/state.ts";
import { unitId } from "../model/unit.ts";
import { isPassing } from "./passing.ts";
import { isScratch } from "./scratch.ts";

/** What one look at a server found, by name. */
export type ServerIndex = {
  readonly facts: ServerFacts;
  readonly members: ReadonlyMap<string, Member>;
  /** The members that could not be asked for what they hold, whether the cluster has noticed yet or not. */
  readonly silent: ReadonlySet<string>;
  readonly instances: ReadonlyMap<string, Instance>;
  readonly volumes: ReadonlyMap<string, Volume>;
  /** The ids of what it is at work on. */
  readonly busy: ReadonlySet<string>;
  /** The members that hold a volume, where several have one of the same name. */
  readonly holders: ReadonlyMap<string, readonly string[]>;
  /** The driver of each pool. */
  readonly drivers: ReadonlyMap<string, string>;
  readonly projects: ReadonlyMap<string, Project>;
  readonly networks: ReadonlyMap<string, Network>;
  readonly profiles: ReadonlyMap<string, Profile>;
};

export type StateIndex = Readonly<Record<Side, ServerIndex>>;

/** Both servers by name, so that hundreds of workloads are found without searching. */
export function indexState(state: State): StateIndex {
  return { source: indexServer(state.source), target: indexServer(state.target) };
}

function indexServer(server: ServerState): ServerIndex {
  return {
    facts: server.facts,
    members: new Map(server.members.map((member) => [member.name, member])),
    silent: new Set(server.instances.filter(isUnread).map(({ location }) => location)),
    instances: byId(server.instances.filter(isNotPassing)),
    volumes: byId(server.volumes.filter(isNotPassing)),
    busy: new Set((server.busy ?? []).map(unitId)),
    holders: holdersOf(server.volumes),
    drivers: new Map(server.pools.map(({ name, driver }) => [name, driver])),
    projects: new Map(server.projects.map((project) => [project.name, project])),
    networks: new Map(server.networks.map((network) => [keyOf(network), network])),
    profiles: new Map(server.profiles.map((profile) => [keyOf(profile), profile])),
  };
}

function byId<W extends Workload>(workloads: readonly W[]): ReadonlyMap<string, W> {
  return new Map(workloads.map((workload) => [unitId(workload), workload]));
}

/** What a member holds that does not answer is listed with nothing but its name. */
function isUnread({ location, status, expandedDevices }: Instance): boolean {
  return location !== "" && status === "Error" && Object.keys(expandedDevices).length === 0;
}

/** In a cluster each member may have a volume of the same name: by that alone nobody can say which is meant. */
function holdersOf(volumes: readonly Volume[]): ReadonlyMap<string, readonly string[]> {
  const holders = new Map<string, string[]>();
  for (const volume of volumes) holders.set(unitId(volume), [...(holders.get(unitId(volume)) ?? []), volume.location]);
  return new Map([...holders].filter(([, members]) => members.length > 1));
}

/** What a rehearsal, an offsite run or a restore works with comes and goes: no workloads of anybody. */
function isNotPassing(workload: Workload): boolean {
  if (isPassing(workload)) return false;
  return workload.kind === "instance" || !isScratch(workload);
}

type Feature = "ownVolumes" | "ownProfiles" | "ownNetworks";

/** The project whose volumes, profiles or networks serve a project: its own, or those of `default`. */
export function servingProject({ projects }: ServerIndex, name: string, feature: Feature): string {
  return (projects.get(name)?.[feature] ?? true) ? name : "default";
}

export function networkOf(server: ServerIndex, project: string, name: string): Network | undefined {
  return server.networks.get(keyOf({ project: servingProject(server, project, "ownNetworks"), name }));
}

export function profileOf(server: ServerIndex, project: string, name: string): Profile | undefined {
  return server.profiles.get(keyOf({ project: servingProject(server, project, "ownProfiles"), name }));
}

function keyOf({ project, name }: { readonly project: string; readonly name: string }): string {
  return `${project}/${name}`;
}
