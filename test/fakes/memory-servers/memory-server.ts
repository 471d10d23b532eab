import type { VolumeContents } from "../../../src/model/contents.ts";
import { IncusRefusal } from "../../../src/model/errors.ts";
import type { Side } from "../../../src/model/job.ts";
import type { Clock, Server } from "../../../src/model/ports.ts";
import type { Snapshot } from "../../../src/model/snapshot.ts";
import type {
  Config,
  Devices,
  Instance,
  InstanceStatus,
  Profile,
  ServerFacts,
  Volume,
} from "../../../src/model/state.ts";
import { type InstanceUnit, type Unit, unitId, type VolumeUnit } from "../../../src/model/unit.ts";
import { contentsIn, wordOf } from "./content-words.ts";

export type MemoryUnit = {
  unit: Unit;
  status: InstanceStatus;
  config: Config;
  devices: Devices;
  profiles: readonly string[];
  /** That of an instance's root volume. */
  rootConfig: Record<string, string>;
  /** Snapshots of the root volume that the instance does not list. */
  halves: string[];
  ephemeral: boolean;
  busy: boolean;
  /** What the server says that all of it comes to. */
  usage: number | undefined;
  /** What a snapshot taken now would hold. */
  content: string;
  snapshots: (Snapshot & { readonly content: string })[];
};

/** A call about to be made on a server. */
export type Call = {
  readonly side: Side | "between";
  readonly verb: string;
  readonly unit: string;
  readonly detail: string;
};

/** Stands between the program and each call: whatever it does not pass on has no effect. */
export type Intercept = (call: Call, effect: () => void) => Promise<void>;

/** What every call goes through. */
export type Pass = (call: Call, effect: () => void, signal: AbortSignal) => Promise<void>;

/** One server's units by their id, and the port to them. */
export class MemoryServer {
  readonly units = new Map<string, MemoryUnit>();
  readonly profiles: Profile[] = [];
  readonly #side: Side;
  readonly #clock: Clock;

  constructor(side: Side, clock: Clock) {
    this.#side = side;
    this.#clock = clock;
  }

  /** Puts a unit on the server. */
  add(unit: Unit, given: Partial<Omit<MemoryUnit, "unit">> = {}): MemoryUnit {
    const status = unit.kind === "instance" ? "Stopped" : "Other";
    const devices = unit.kind === "instance" ? { root: { type: "disk", path: "/", pool: "local" } } : {};
    const blank = {
      status,
      config: {},
      rootConfig: {},
      devices,
      profiles: [],
      ephemeral: false,
      busy: false,
      usage: undefined,
      content: "",
      snapshots: [],
    } as const;
    const made: MemoryUnit = { unit, ...structuredClone(blank), snapshots: [], halves: [], ...given };
    this.units.set(unitId(unit), made);
    return made;
  }

  /** The unit as it is; a refusal as the server's where there is none. */
  get(unit: Unit): MemoryUnit {
    const found = this.units.get(unitId(unit));
    if (found === undefined) throw new IncusRefusal(404, `${unitId(unit)} not found`);
    return found;
  }

  /** Takes a snapshot outside of any call: as if it had always been there. */
  snapshot(unit: Unit, name: string): void {
    const found = this.get(unit);
    if (found.snapshots.some((snapshot) => snapshot.name === name))
      throw new IncusRefusal(409, `${name} already in use`);
    const createdAt = Math.floor(this.#clock.now() / 1000) * 1000;
    const createdAtExact = new Date(createdAt).toISOString();
    found.snapshots.push({
      name,
      createdAt,
      createdAtExact,
      expiresAt: undefined,
      sizeBytes: 1,
      content: found.content,
    });
  }

  names(unit: Unit): string[] {
    return this.get(unit).snapshots.map(({ name }) => name);
  }

  port(pass: Pass): Server {
    const call = (verb: string, unit: Unit | undefined, detail: string, effect: () => void, signal: AbortSignal) =>
      pass({ side: this.#side, verb, unit: unit ? unitId(unit) : "", detail }, effect, signal);
    const read = async <T>(verb: string, unit: Unit | undefined, value: () => T, signal: AbortSignal): Promise<T> => {
      let result: T | undefined;
      const keep = () => {
        result = value();
      };
      await call(verb, unit, "", keep, signal);
      return result as T;
    };
    return {
      facts: (signal) => read("facts", undefined, () => factsOf(this.#side), signal),
      clock: (signal) => read("clock", undefined, () => this.#clock.now(), signal),
      space: (_pool, signal) => read("space", undefined, () => ({ usedBytes: 2 ** 30, totalBytes: 2 ** 32 }), signal),
      members: (signal) => read("members", undefined, () => [], signal),
      projects: (signal) => read("projects", undefined, () => [OWN_PROJECT], signal),
      pools: (_likely, signal) => read("pools", undefined, () => [{ name: "local", driver: "btrfs" }], signal),
      networks: (signal) => read("networks", undefined, () => [], signal),
      profiles: (signal) => read("profiles", undefined, () => [...this.profiles], signal),
      instances: (signal) => read("instances", undefined, () => this.#instances(), signal),
      volumes: (pools, signal) => read("volumes", undefined, () => this.#volumes(pools), signal),
      snapshots: (unit, signal) => read("snapshots", unit, () => [...this.get(unit).snapshots], signal),
      instance: (unit, signal) =>
        read("instance", unit, () => this.#instances().find((candidate) => unitId(candidate) === unitId(unit)), signal),
      describe: (unit, signal) => read("describe", unit, () => this.#describe(unit), signal),
      usage: (unit, signal) => read("usage", unit, () => this.get(unit).usage, signal),
      rootConfig: ({ unit }, signal) => read("rootConfig", unit, () => this.get(unit).rootConfig, signal),
      halfSnapshots: ({ unit }, signal) => read("halfSnapshots", unit, () => [...this.get(unit).halves], signal),
      config: (unit, signal) => read("config", unit, () => this.units.get(unitId(unit))?.config, signal),
      busy: (signal) =>
        read(
          "busy",
          undefined,
          () => [...this.units.values()].flatMap((each) => (each.busy ? [each.unit] : [])),
          signal,
        ),
      isBusy: (unit, signal) => read("isBusy", unit, () => this.get(unit).busy, signal),
      createSnapshot: (unit, name, signal) =>
        call("createSnapshot", unit, name, () => this.snapshot(unit, name), signal),
      deleteSnapshot: (unit, name, signal) =>
        call("deleteSnapshot", unit, name, () => this.#forget(unit, name), signal),
      changeState: (unit, change, { force }, signal) =>
        call(force ? `${change}-hard` : change, unit, "", () => this.#change(unit, change), signal),
      patchConfig: (unit, config, signal) =>
        call("patchConfig", unit, JSON.stringify(config), () => this.#patch(unit, config), signal),
      makeLasting: (unit, signal) =>
        call("makeLasting", unit, "", () => Object.assign(this.get(unit), { ephemeral: false }), signal),
      patchRootConfig: ({ unit }, config, signal) =>
        call("patchRootConfig", unit, "", () => Object.assign(this.get(unit).rootConfig, config), signal),
      patchDevices: (unit, devices, signal) =>
        call("patchDevices", unit, "", () => Object.assign(this.get(unit).devices, devices), signal),
      rename: (unit, name, signal) => call("rename", unit, name, () => this.#rename(unit, name), signal),
      createProfile: ({ project, name, config }, signal) => {
        const make = () => void this.profiles.push({ project, name, config, devices: {} });
        return call("createProfile", undefined, `${project}/${name}`, make, signal);
      },
      remove: (unit, signal) => call("remove", unit, "", () => this.#remove(unit), signal),
      createVolume: (unit, { config }, contents, signal) =>
        call("createVolume", unit, "", () => this.#createVolume(unit, config, contents), signal),
      contents: (unit, signal) => read("contents", unit, () => this.#contents(unit), signal),
    };
  }

  #instances(): Instance[] {
    return [...this.units.values()].flatMap((made) =>
      made.unit.kind === "instance" ? [instanceOf(made, made.unit)] : [],
    );
  }

  #volumes(pools: readonly string[]): Volume[] {
    return [...this.units.values()].flatMap((made) => {
      const { unit, config, snapshots } = made;
      if (unit.kind !== "volume" || !pools.includes(unit.pool)) return [];
      const usedBy = this.#instances().filter(({ devices }) => usesVolume(devices, unit.pool, unit.name));
      const users = usedBy.map(({ project, name }) => ({ kind: "instance", project, name }) as const);
      return [
        {
          ...unit,
          contentType: "filesystem",
          config,
          description: "",
          usedBy: users,
          location: "",
          createdAt: 0,
          snapshots,
        },
      ];
    });
  }

  #describe(unit: Unit): Readonly<Record<string, unknown>> {
    const { config, devices, snapshots } = this.get(unit);
    return { name: unit.name, config, devices, snapshots: snapshots.map(({ name }) => ({ name })) };
  }

  #forget(unit: Unit, name: string): void {
    const found = this.get(unit);
    if (!found.snapshots.some((snapshot) => snapshot.name === name)) throw new IncusRefusal(404, `${name} not found`);
    found.snapshots = found.snapshots.filter((snapshot) => snapshot.name !== name);
  }

  #change(unit: InstanceUnit, change: string): void {
    const found = this.get(unit);
    const to = change === "stop" ? "Stopped" : change === "freeze" ? "Frozen" : "Running";
    if (found.status === to) throw new IncusRefusal(400, `The instance is already ${to.toLowerCase()}`);
    found.status = to;
    if (to === "Stopped" && found.ephemeral) this.units.delete(unitId(unit));
  }

  #patch(unit: Unit, config: Config): void {
    const found = this.get(unit);
    const merged = Object.entries({ ...found.config, ...config }).filter(([, value]) => value !== "");
    found.config = Object.fromEntries(merged);
  }

  #rename(unit: Unit, name: string): void {
    const found = this.get(unit);
    const renamed = { ...unit, name };
    if (this.units.has(unitId(renamed))) throw new IncusRefusal(409, `${unitId(renamed)} already exists`);
    this.units.delete(unitId(unit));
    this.units.set(unitId(renamed), { ...found, unit: renamed });
    if (unit.kind === "volume") for (const user of this.units.values()) follow(user, unit.pool, unit.name, name);
  }

  #createVolume(unit: VolumeUnit, config: Config, { head, snapshots }: VolumeContents): void {
    if (this.units.has(unitId(unit))) throw new IncusRefusal(409, `${unitId(unit)} already exists`);
    const made = this.add(unit, { config, content: wordOf(head) });
    for (const [at, [name, contents]] of [...snapshots].entries()) {
      const createdAt = Date.UTC(2020, 0, 1 + at);
      const createdAtExact = new Date(createdAt).toISOString();
      made.snapshots.push({ ...UNSIZED, name, createdAt, createdAtExact, content: wordOf(contents) });
    }
  }

  #contents(unit: Unit): VolumeContents {
    const { content, snapshots } = this.get(unit);
    return {
      head: contentsIn(content),
      snapshots: new Map(snapshots.map((each) => [each.name, contentsIn(each.content)])),
    };
  }

  #remove(unit: Unit): void {
    const found = this.get(unit);
    const used =
      unit.kind === "volume" && this.#instances().some(({ devices }) => usesVolume(devices, unit.pool, unit.name));
    if (used || found.status === "Running") throw new IncusRefusal(400, `${unitId(unit)} is in use`);
    if (found.halves.length > 0) throw new IncusRefusal(500, "Cannot remove an instance volume that has snapshots");
    this.units.delete(unitId(unit));
  }
}

const UNSIZED = { expiresAt: undefined, sizeBytes: 1 };

const OWN_PROJECT = { name: "default", ownVolumes: true, ownProfiles: true, ownNetworks: true };

function usesVolume(devices: Devices, pool: string, name: string): boolean {
  return Object.values(devices).some((device) => device["pool"] === pool && device["source"] === name);
}

function follow(user: MemoryUnit, pool: string, from: string, to: string): void {
  const devices = Object.entries(user.devices).map(
    ([key, device]) =>
      [key, device["pool"] === pool && device["source"] === from ? { ...device, source: to } : device] as const,
  );
  user.devices = Object.fromEntries(devices);
}

function instanceOf(made: MemoryUnit, unit: InstanceUnit): Instance {
  const { status, config, devices, profiles, ephemeral, snapshots } = made;
  const expanded = { expandedConfig: config, expandedDevices: devices };
  const fixed = {
    type: "container",
    architecture: "x86_64",
    description: "",
    location: "",
    createdAt: 0,
  } as const;
  return { ...unit, ...fixed, status, config, devices, profiles, ...expanded, ephemeral, snapshots };
}

const HOSTS = { source: "prod", target: "backup" } as const;

function factsOf(side: Side): ServerFacts {
  const can = {
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
  return {
    host: HOSTS[side],
    serverName: side,
    version: "7.0.2",
    driverVersions: {},
    addresses: [`https://${side}:8443`],
    certificate: "",
    fingerprint: side,
    clustered: false,
    restricted: false,
    instanceTypes: ["container"],
    can,
  };
}
