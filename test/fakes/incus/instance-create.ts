import { randomUUID } from "node:crypto";
import { z } from "zod";
import { importInstance } from "./backup-routes.ts";
import type { Context, Host } from "./host.ts";
import { instanceUrl } from "./instance-routes.ts";
import { receiveInstance } from "./migrate-routes.ts";
import { Refusal, type Reply } from "./reply.ts";
import { memberFor } from "./server-routes.ts";
import type { DeviceKeys, InstanceRecord, Keys, State, UnitRecord } from "./state.ts";
import { addRecord, expandedDevices, projectWith, rootDevice } from "./state.ts";
import { requireProject } from "./trust.ts";
import { copyOfDevices } from "./unit-json.ts";
import { startWork } from "./work.ts";

const Strings = z.record(z.string(), z.string());

export const NewInstance = z.object({
  name: z.string().default(""),
  type: z.enum(["", "container", "virtual-machine"]).default("container"),
  architecture: z.string().default(""),
  config: Strings.nullish(),
  devices: z.record(z.string(), Strings).nullish(),
  profiles: z.array(z.string()).nullish(),
  ephemeral: z.boolean().default(false),
  description: z.string().default(""),
  start: z.boolean().default(false),
  source: z.looseObject({ type: z.string().default(""), source: z.string().default("") }),
});
export type NewInstance = z.infer<typeof NewInstance>;

/** `POST /1.0/instances`: empty, as a copy of an instance or snapshot of this server, or from another one. */
export function createInstance(context: Context): Reply {
  if (context.headers["content-type"] === "application/octet-stream") return importInstance(context);
  const asked = context.json(NewInstance);
  requireProject(context.caller, context.host.state, context.project);
  switch (asked.source.type) {
    case "none":
      return createEmpty(context, asked);
    case "copy":
      return createCopy(context, asked);
    case "migration":
      return receiveInstance(context, asked);
    default:
      throw new Refusal(400, `Unknown source type ${asked.source.type}`);
  }
}

function createEmpty(context: Context, asked: NewInstance): Reply {
  const { host, project } = context;
  const instance = newInstance(context, asked);
  return startWork(context, {
    description: "Creating instance",
    project,
    resources: { instances: [instanceUrl(instance)] },
    work: () => {
      refuseDuplicate(host, instance);
      addRecord(host.state, instance);
      host.events.lifecycle(project, "instance-created", instanceUrl(instance));
    },
  });
}

/** A copy of a snapshot has that snapshot's content and no snapshots of its own. */
function createCopy(context: Context, asked: NewInstance): Reply {
  const { host, project } = context;
  const [name = "", snapshot] = asked.source.source.split("/");
  const source = host.state.units.get(`${project}/${name}`);
  if (source?.kind !== "instance") throw new Refusal(404, "Instance not found");
  const content = snapshot === undefined ? source.content : contentOf(source, snapshot);
  const architecture = asked.architecture === "" ? source.architecture : asked.architecture;
  const profiles = asked.profiles ?? source.profiles;
  const whole = { ...asked, architecture, profiles, ...inherited(source, snapshot, asked) };
  const copy = { ...newInstance(context, whole), content };
  return startWork(context, {
    description: "Creating instance",
    project,
    resources: { instances: [instanceUrl(copy)] },
    work: () => {
      refuseDuplicate(host, copy);
      addRecord(host.state, copy);
      host.events.lifecycle(project, "instance-created", instanceUrl(copy));
    },
  });
}

/** What a copy takes along of its source, unless it is named: a key that is named as empty goes. */
function inherited(source: InstanceRecord, snapshot: string | undefined, asked: NewInstance) {
  const of = source.snapshots.find((record) => record.name === snapshot) ?? source;
  const travels = ([key]: [string, string]) => key === "volatile.base_image" || !key.startsWith("volatile.");
  const config = { ...Object.fromEntries(Object.entries(of.config).filter(travels)), ...asked.config };
  return {
    config: Object.fromEntries(Object.entries(config).filter(([, value]) => value !== "")),
    devices: { ...of.devices, ...asked.devices },
  };
}

/** The content of a snapshot; one that lost its dataset cannot be read. */
export function contentOf(unit: UnitRecord, snapshot: string): Buffer {
  if (!unit.snapshots.some((record) => record.name === snapshot)) throw new Refusal(404, "Instance_snapshot not found");
  const dataset = unit.datasets.find((candidate) => candidate.name === snapshot);
  if (dataset === undefined) throw new Refusal(500, `snapshot-${snapshot}': dataset does not exist`);
  return dataset.content;
}

/** Checks what was asked for as the server does for a new instance, and makes its record. */
export function newInstance(context: Context, asked: NewInstance): InstanceRecord {
  const { host, project } = context;
  if (context.query.has("target") && host.members.length === 0) {
    throw new Refusal(400, "Target only allowed when clustered");
  }
  if (asked.architecture === "") throw new Refusal(400, "Architecture isn't supported: ");
  if (asked.name === "" || /[/+\s]/.test(asked.name)) throw new Refusal(400, `Invalid instance name: ${asked.name}`);
  const profiles = asked.profiles ?? ["default"];
  refuseMissingProfiles(host.state, project, profiles);
  const devices = copyOfDevices(asked.devices ?? {});
  const expanded = expandedDevices(host.state, { project, profiles, devices });
  const pool = rootDevice(expanded)?.pool;
  if (pool === undefined) throw new Refusal(400, "Can't find a storage pool for the instance to use");
  if (!host.state.pools.has(pool)) throw new Refusal(404, "Storage pool not found");
  return {
    kind: "instance",
    project,
    name: asked.name,
    type: asked.type === "virtual-machine" ? "virtual-machine" : "container",
    architecture: asked.architecture,
    description: asked.description,
    location: memberFor(context),
    config: withVolatile(asked.config ?? {}),
    rootConfig: {},
    halves: new Set(),
    devices,
    profiles,
    ephemeral: asked.ephemeral,
    status: asked.start ? "Running" : "Stopped",
    pool,
    lastUsedAt: 0n,
    ignoresStop: false,
    busyWith: undefined,
    createdAt: host.now(),
    snapshots: [],
    datasets: [],
    backups: [],
    content: Buffer.alloc(0),
  };
}

function withVolatile(config: Keys): Keys {
  const uuid = randomUUID();
  return { ...config, "volatile.uuid": uuid, "volatile.uuid.generation": uuid };
}

function refuseMissingProfiles(state: State, project: string, names: readonly string[]): void {
  const owner = projectWith(state, "features.profiles", project);
  const missing = names.find((name) => !state.profiles.some((p) => p.project === owner && p.name === name));
  if (missing !== undefined) throw new Refusal(500, `Requested profile "${missing}" doesn't exist`);
}

/** What only a new instance is refused for: its devices must be there. */
export function refuseBadDevices(context: Context, devices: DeviceKeys): void {
  const { state, generation } = context.host;
  const failed = "Failed creating instance record: Failed initializing instance: Failed add validation for device";
  for (const [name, device] of Object.entries(devices)) {
    const { network, pool, source } = device as { network?: string; pool?: string; source?: string };
    if (device["type"] === "nic" && network !== undefined && !hasNetwork(state, context.project, network)) {
      const text = `Failed to load network "${network}" for project "${context.project}": Network not found`;
      throw new Refusal(500, `Failed creating instance record: Failed loading device "${name}": ${text}`);
    }
    if (device["type"] !== "disk" || source === undefined) continue;
    const project = projectWith(state, "features.storage.volumes", context.project);
    const isMissing = pool !== undefined && !state.units.has(`${project}/${pool}/${source}`);
    if (isMissing && !generation.acceptsMissingVolumes) {
      throw new Refusal(500, `${failed} "${name}": Failed loading custom volume: Storage volume not found`);
    }
    if (pool === undefined)
      throw new Refusal(500, `${failed} "${name}": Missing source path "${source}" for disk "${name}"`);
  }
}

function hasNetwork(state: State, project: string, name: string): boolean {
  const owner = projectWith(state, "features.networks", project);
  return state.networks.some((network) => network.project === owner && network.name === name && network.managed);
}

export function refuseDuplicate({ state, generation }: Host, instance: InstanceRecord): void {
  if (!state.units.has(`${instance.project}/${instance.name}`)) return;
  const unique = "UNIQUE constraint failed: instances.project_id, instances.name";
  const why = generation.newWords ? 'This "Instance" entry already exists' : unique;
  throw new Refusal(500, `Failed creating instance record: Add instance info to the database: ${why}`);
}
