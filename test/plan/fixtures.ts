import type { InstanceJob, VolumeJob } from "../../src/model/job.ts";
import { KEEP_ALL, type Policy } from "../../src/model/policy.ts";
import { type Snapshot, snapshotName } from "../../src/model/snapshot.ts";
import type {
  Capabilities,
  Instance,
  Project,
  ServerFacts,
  ServerState,
  State,
  Volume,
} from "../../src/model/state.ts";
import { type EpochMs, HOUR_MS, SECOND_MS } from "../../src/model/time.ts";
import { makePlan } from "../../src/plan/make-plan.ts";
import type { Orders } from "../../src/plan/orders.ts";
import { parsePolicy } from "../../src/retention/parse-policy.ts";

/** The moment at which all plans of these tests are made. */
export const NOW: EpochMs = Date.UTC(2026, 10, 20, 4);
export const RUN = snapshotName(NOW);

export const ALL: Capabilities = {
  excludeOlder: true,
  fullVolumes: true,
  cancelMigration: true,
  tellLateSuccess: true,
  repairsHalves: false,
  listPoolsRestricted: true,
  zfsNewestCommon: true,
  directBackup: true,
  patchKeepsDescription: true,
};

/** 6.0.4 as Debian has it. */
export const OLD: Capabilities = { ...ALL, fullVolumes: false, cancelMigration: false, zfsNewestCommon: false };

export function policy(text: string): Policy {
  return text === "" ? KEEP_ALL : parsePolicy(text);
}

/** A snapshot of ours, taken so many hours before now. */
export function own(hoursAgo: number): Snapshot {
  const at = NOW - hoursAgo * HOUR_MS;
  return named(snapshotName(at), hoursAgo);
}

/** A snapshot of any name, as a source shows it: with a fraction of a second. */
export function named(name: string, hoursAgo: number, fraction = ".123456789"): Snapshot {
  const whole = NOW - hoursAgo * HOUR_MS;
  const exact = new Date(whole).toISOString().replace(".000Z", `${fraction}Z`);
  return { name, createdAt: Date.parse(exact), createdAtExact: exact, expiresAt: undefined, sizeBytes: undefined };
}

/** The same snapshots as a replica of an instance shows them: in whole seconds. */
export function copied(snapshots: readonly Snapshot[]): Snapshot[] {
  return snapshots.map((snapshot) => {
    const createdAt = Math.floor(snapshot.createdAt / SECOND_MS) * SECOND_MS;
    return { ...snapshot, createdAt, createdAtExact: new Date(createdAt).toISOString().replace(".000Z", "Z") };
  });
}

export function instance(name: string, more: Partial<Instance> = {}): Instance {
  const devices = more.devices ?? { root: { type: "disk", path: "/", pool: "default" } };
  return {
    kind: "instance",
    project: "default",
    name,
    type: "container",
    status: "Stopped",
    architecture: "x86_64",
    description: "",
    ephemeral: false,
    profiles: [],
    config: {},
    devices,
    expandedConfig: more.config ?? {},
    expandedDevices: devices,
    location: "",
    createdAt: NOW - 9000 * HOUR_MS,
    snapshots: [],
    ...more,
  };
}

export function volume(name: string, more: Partial<Volume> = {}): Volume {
  return {
    kind: "volume",
    project: "default",
    pool: "default",
    name,
    contentType: "filesystem",
    config: {},
    description: "",
    usedBy: [],
    location: "",
    createdAt: NOW - 9000 * HOUR_MS,
    snapshots: [],
    ...more,
  };
}

/** A replica as the agent leaves it: marked, and proven by its newest snapshot of ours. */
export function replicaOf(source: Instance, more: Partial<Instance> = {}): Instance {
  const snapshots = more.snapshots ?? copied(source.snapshots);
  const config = {
    "user.iab.source": `prod:${source.project}/${source.name}`,
    ...lastMark(snapshots),
    "boot.autostart": "false",
    ...more.config,
  };
  return instance(source.name, { ...more, snapshots, config });
}

export function volumeReplicaOf(source: Volume, more: Partial<Volume> = {}): Volume {
  const snapshots = more.snapshots ?? source.snapshots;
  const mark = { "user.iab.source": `prod:${source.project}/${source.pool}/${source.name}` };
  return volume(source.name, { ...more, snapshots, config: { ...mark, ...lastMark(snapshots), ...more.config } });
}

function lastMark(snapshots: readonly Snapshot[]): Record<string, string> {
  const last = [...snapshots].sort((a, b) => a.createdAt - b.createdAt).findLast(({ name }) => name.startsWith("IAB_"));
  return last === undefined ? {} : { "user.iab.last": last.name };
}

export function facts(host: string, more: Partial<ServerFacts> = {}): ServerFacts {
  return {
    host,
    serverName: host,
    version: "7.0.2",
    driverVersions: {},
    addresses: [`https://${host}.example:8443`],
    certificate: "",
    fingerprint: host,
    clustered: false,
    restricted: false,
    instanceTypes: ["container", "virtual-machine"],
    can: ALL,
    ...more,
  };
}

export const DEFAULT_PROJECT: Project = { name: "default", ownVolumes: true, ownProfiles: true, ownNetworks: true };

export type ServerSeed = Partial<Omit<ServerState, "facts">> & {
  readonly driver?: string;
  readonly facts?: Partial<ServerFacts>;
};

function server(host: string, { driver = "btrfs", facts: more = {}, ...seed }: ServerSeed = {}): ServerState {
  return {
    members: [],
    projects: [DEFAULT_PROJECT],
    pools: [{ name: "default", driver }],
    networks: [],
    profiles: [],
    instances: [],
    volumes: [],
    ...seed,
    facts: facts(host, more),
  };
}

export function stateOf(source: ServerSeed, target: ServerSeed = {}): State {
  return { source: server("prod", source), target: server("backup", target) };
}

type Retaining = { readonly keep?: string; readonly keepOnTarget?: string };

export function job(
  name: string,
  { keep = "", keepOnTarget = keep, ...more }: Partial<InstanceJob> & Retaining = {},
): InstanceJob {
  const unit = { kind: "instance", project: "default", name } as const;
  return {
    kind: "instance",
    source: unit,
    target: unit,
    mode: "pull",
    history: "mirror",
    retention: { source: policy(keep), target: policy(keepOnTarget) },
    targetMember: undefined,
    rootPool: undefined,
    excludeDevices: [],
    stop: false,
    ...more,
  };
}

export function volumeJob(
  name: string,
  { keep = "", keepOnTarget = keep, ...more }: Partial<VolumeJob> & Retaining = {},
): VolumeJob {
  const unit = { kind: "volume", project: "default", pool: "default", name } as const;
  return {
    kind: "volume",
    source: unit,
    target: unit,
    mode: "pull",
    history: "mirror",
    retention: { source: policy(keep), target: policy(keepOnTarget) },
    targetMember: undefined,
    ...more,
  };
}

export function plan(jobs: Parameters<typeof makePlan>[0], state: State, orders: Partial<Orders> = {}) {
  return makePlan(jobs, state, { now: NOW, run: RUN, ...orders });
}

export function names(snapshots: readonly { readonly name: string }[]): string[] {
  return snapshots.map(({ name }) => name);
}

/** The only step of a kind, which must be there. */
export function stepOf<K extends ReturnType<typeof plan>["steps"][number]["kind"]>(
  made: ReturnType<typeof plan>,
  kind: K,
): Extract<ReturnType<typeof plan>["steps"][number], { kind: K }> {
  const steps = made.steps.filter((step) => step.kind === kind);
  if (steps.length !== 1) throw new Error(`${steps.length} steps of kind ${kind}`);
  return steps[0] as Extract<(typeof steps)[number], { kind: K }>;
}
