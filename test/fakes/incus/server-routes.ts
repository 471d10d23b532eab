import { z } from "zod";
import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import { addPool, addProject } from "./options.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import type { PoolRecord, ProjectRecord, State, UnitRecord } from "./state.ts";
import { expandedDevices, instancesOf, projectWith, rootDevice, volumesOf } from "./state.ts";
import { isListed, mayUse, refuseRestrictedPoolList, requireProject, requireUnrestricted } from "./trust.ts";

/** What a server says of itself, its projects, pools, networks and profiles. */
export const serverRoutes: readonly Route[] = [
  { method: "GET", path: "/1.0", open: true, handle: serverInfo },
  { method: "GET", path: "/1.0/projects", handle: listProjects },
  { method: "POST", path: "/1.0/projects", handle: createProject },
  { method: "GET", path: "/1.0/projects/:project", handle: getProject },
  { method: "DELETE", path: "/1.0/projects/:project", handle: deleteProject },
  { method: "GET", path: "/1.0/storage-pools", handle: listPools },
  { method: "POST", path: "/1.0/storage-pools", handle: createPool },
  { method: "GET", path: "/1.0/storage-pools/:pool", handle: (c) => sync(poolJson(c, poolOf(c), c.caller.restricted)) },
  { method: "GET", path: "/1.0/storage-pools/:pool/resources", handle: poolResources },
  { method: "GET", path: "/1.0/networks", handle: listNetworks },
  { method: "GET", path: "/1.0/cluster", handle: getCluster },
  { method: "GET", path: "/1.0/cluster/members", handle: listMembers },
  { method: "GET", path: "/os/1.0", handle: incusOs },
  { method: "GET", path: "/os/1.0/system/update", handle: incusOs },
];

function serverInfo(context: Context): Reply {
  const { host, caller } = context;
  const { generation, state } = host;
  const info = {
    config: caller.trusted && !caller.restricted ? { "core.https_address": host.address() } : {},
    api_extensions: caller.trusted || generation.extensionsForAll ? generation.extensions : null,
    api_status: "stable",
    api_version: "1.0",
    auth: caller.trusted ? "trusted" : "untrusted",
    public: false,
    auth_methods: ["tls"],
    auth_user_name: caller.trusted ? caller.fingerprint : "",
    auth_user_method: caller.trusted ? "tls" : "",
  };
  if (!caller.trusted) return sync(info);
  const drivers = [...new Set([...state.pools.values()].map((pool) => pool.driver))];
  const { certificate, fingerprint } = host.certificate();
  return sync({
    ...info,
    environment: {
      addresses: [host.address()],
      architectures: ["x86_64", "i686"],
      certificate,
      certificate_fingerprint: fingerprint,
      driver: "lxc",
      driver_version: "6.0.4",
      kernel_architecture: "x86_64",
      os_name: "Debian GNU/Linux",
      os_version: "13",
      project: context.project,
      server: "incus",
      server_clustered: host.members.length > 0,
      server_name: host.name,
      server_version: generation.version,
      storage: drivers.join(" | "),
      storage_supported_drivers: drivers.map((name) => ({ Name: name, Version: "1", Remote: false })),
    },
  });
}

function listProjects(context: Context): Reply {
  const { host, caller } = context;
  const seen = [...host.state.projects.values()].filter((project) => mayUse(caller, project.name));
  if (!isRecursive(context)) return sync(seen.map((project) => `/1.0/projects/${project.name}`));
  return sync(seen.map((project) => projectJson(host.state, project)));
}

function getProject(context: Context): Reply {
  const name = param(context, "project");
  requireProject(context.caller, context.host.state, name);
  const project = context.host.state.projects.get(name);
  if (project === undefined) throw new Refusal(404, "Project not found");
  return sync(projectJson(context.host.state, project), project.config);
}

const NewProject = z.object({ name: z.string().min(1), config: z.record(z.string(), z.string()).nullish() });

function createProject(context: Context): Reply {
  requireUnrestricted(context.caller);
  const { name, config } = context.json(NewProject);
  addProject(context.host.state, name, config ?? {});
  return { kind: "sync", metadata: null, status: 201, location: `/1.0/projects/${name}` };
}

function deleteProject(context: Context): Reply {
  requireUnrestricted(context.caller);
  const { state } = context.host;
  const name = param(context, "project");
  if ([...state.units.values()].some((unit) => unit.project === name)) {
    throw new Refusal(400, "Only empty projects can be removed.");
  }
  if (!state.projects.delete(name)) throw new Refusal(404, "Project not found");
  return sync({});
}

function projectJson(state: State, { name, config, description }: ProjectRecord): object {
  const used = [...state.units.values()].filter((unit) => unit.project === name);
  return { config, description, name, used_by: used.map(urlOf) };
}

function urlOf(unit: UnitRecord): string {
  const where = unit.kind === "instance" ? "instances" : `storage-pools/${unit.pool}/volumes/custom`;
  return `/1.0/${where}/${unit.name}${projectQuery(unit.project)}`;
}

function listPools(context: Context): Reply {
  const { host, caller } = context;
  if (caller.restricted && !host.generation.poolsForRestricted) throw refuseRestrictedPoolList();
  const pools = [...host.state.pools.values()];
  if (!isRecursive(context)) return sync(pools.map((pool) => `/1.0/storage-pools/${pool.name}`));
  return sync(pools.map((pool) => poolJson(context, pool, caller.restricted)));
}

const NewPool = z.object({ name: z.string().min(1), driver: z.enum(["btrfs", "dir", "zfs"]) });

function createPool(context: Context): Reply {
  requireUnrestricted(context.caller);
  const { name, driver } = context.json(NewPool);
  addPool(context.host.state, name, driver);
  return { kind: "sync", metadata: null, status: 201, location: `/1.0/storage-pools/${name}` };
}

function poolJson(context: Context, pool: PoolRecord, restricted: boolean): object {
  const { state } = context.host;
  const usedBy = [
    ...instancesOf(state).filter((instance) => rootDevice(expandedDevices(state, instance))?.pool === pool.name),
    ...volumesOf(state).filter((volume) => volume.pool === pool.name),
  ].map(urlOf);
  return {
    config: restricted ? null : poolConfig(pool),
    description: "",
    name: pool.name,
    driver: pool.driver,
    used_by: restricted ? [] : usedBy,
    status: "Created",
    locations: ["none"],
  };
}

function poolConfig({ name, driver }: PoolRecord): object {
  return { source: `/fake/${name}`, ...(driver === "zfs" ? { "zfs.pool_name": `fake/${name}` } : {}) };
}

/** The pool that the path names. */
export function poolOf(context: Context): PoolRecord {
  const pool = context.host.state.pools.get(param(context, "pool"));
  if (pool === undefined) throw new Refusal(404, "Storage pool not found");
  return pool;
}

function poolResources(context: Context): Reply {
  const pool = context.host.state.pools.get(param(context, "pool"));
  // All else answers 404 where there is no such pool.
  if (pool === undefined) throw new Refusal(500, "Storage pool not found");
  const used = [...context.host.state.units.values()]
    .filter((unit) => unit.pool === pool.name)
    .reduce((sum, unit) => sum + unit.content.length, 0);
  return sync({ space: { used, total: pool.totalBytes }, inodes: { used: 0, total: 0 } });
}

function listNetworks(context: Context): Reply {
  const { state } = context.host;
  const all = context.query.get("all-projects") === "true";
  const project = projectWith(state, "features.networks", context.project);
  if (!all) requireProject(context.caller, state, context.project);
  const seen = state.networks.filter((network) =>
    all ? isListed(context.caller, network.project) : network.project === project,
  );
  if (!isRecursive(context)) return sync(seen.map((network) => `/1.0/networks/${network.name}`));
  return sync(
    seen.map((network) => ({
      config: {},
      description: "",
      name: network.name,
      type: network.type,
      used_by: [],
      managed: network.managed,
      status: network.managed ? "Created" : "",
      locations: network.managed ? ["none"] : null,
      project: network.project,
    })),
  );
}

function getCluster({ host }: Context): Reply {
  const [name = ""] = host.members;
  return sync({ server_name: name, enabled: name !== "", member_config: [] });
}

function listMembers(context: Context): Reply {
  const { members } = context.host;
  if (members.length === 0) throw new Refusal(500, "Server is not clustered");
  if (!isRecursive(context)) return sync(members.map((name) => `/1.0/cluster/members/${name}`));
  const url = `https://${context.host.address()}`;
  return sync(members.map((server_name) => ({ server_name, url, status: "Online", message: "Fully operational" })));
}

/** The member that a new unit goes to: the one that is asked for, or any of the group, or the first. */
export function memberFor({ host, query }: Context): string {
  const target = query.get("target");
  const [first] = host.members;
  if (first === undefined) return "none";
  if (target === null || target.startsWith("@")) return first;
  if (!host.members.includes(target)) throw new Refusal(404, "Cluster member not found");
  return target;
}

function incusOs(context: Context): Reply {
  if (!context.host.generation.osProxy) return refuse(404, "not found");
  requireUnrestricted(context.caller);
  return refuse(400, "System isn't running IncusOS");
}

/** How things of other projects than the default one are addressed. */
export function projectQuery(project: string): string {
  return project === "default" ? "" : `?project=${encodeURIComponent(project)}`;
}

export function isRecursive(context: Context): boolean {
  return (context.query.get("recursion") ?? "0") !== "0";
}

function refuse(status: number, message: string): never {
  throw new Refusal(status, message);
}
