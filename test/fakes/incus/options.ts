import type { Certificate } from "./certificate.ts";
import { fingerprintOf } from "./certificate.ts";
import type { GenerationName } from "./generation.ts";
import type { Timings } from "./host.ts";
import type { DeviceKeys, Driver, Keys, State } from "./state.ts";

export type FakeIncusOptions = {
  readonly generation?: GenerationName;
  /** What it calls its version, in place of its generation's: it does not behave otherwise for that. */
  readonly version?: string;
  readonly name?: string;
  /** The driver of the pool `local`. */
  readonly driver?: Driver;
  /** All pools by name; instead of `driver`. The first is the default profile's. */
  readonly pools?: Readonly<Record<string, Driver>>;
  /** Beside `default`: the projects, with their configuration (`features.…`; own profiles and volumes, no own networks). */
  readonly projects?: Readonly<Record<string, Keys>>;
  /** Managed networks of the project `default`. */
  readonly networks?: readonly string[];
  readonly certificate?: Certificate;
  /** PEMs of clients that are trusted from the start, without restriction. */
  readonly trusted?: readonly string[];
  /** The members of a cluster, which all answer here; without them it is a server of its own. */
  readonly members?: readonly string[];
  /** What the server takes for the time, in milliseconds. */
  readonly now?: () => number;
  readonly timings?: Partial<Timings>;
};

export type TrustOptions = {
  readonly restricted?: boolean;
  readonly projects?: readonly string[];
  readonly name?: string;
};

const GIBIBYTE = 1024 ** 3;
const OWN_FEATURES = {
  "features.images": "true",
  "features.networks": "false",
  "features.profiles": "true",
  "features.storage.volumes": "true",
};

/** Puts in place what the options name; returns the pool that units are in unless they say otherwise. */
export function furnish(state: State, options: FakeIncusOptions): string {
  const pools = options.pools ?? { local: options.driver ?? "btrfs" };
  for (const [name, driver] of Object.entries(pools)) addPool(state, name, driver);
  const [first = "local"] = Object.keys(pools);
  const projects = { default: { "features.networks": "true" }, ...options.projects };
  for (const [name, config] of Object.entries(projects)) {
    addProject(state, name, config);
    addProfile(state, "default", { devices: { root: { type: "disk", path: "/", pool: first } } }, name);
  }
  for (const name of options.networks ?? []) addNetwork(state, name, "default");
  for (const certificate of options.trusted ?? []) addTrust(state, certificate, {});
  return first;
}

export function addProject(state: State, name: string, config: Keys): void {
  state.projects.set(name, { name, description: "", config: { ...OWN_FEATURES, ...config } });
  addProfile(state, "default", {}, name);
}

export function addPool(state: State, name: string, driver: Driver): void {
  state.pools.set(name, { name, driver, totalBytes: 6 * GIBIBYTE });
}

export function addNetwork(state: State, name: string, project: string): void {
  state.networks.push({ project, name, type: "bridge", managed: true });
}

export type ProfileSeed = { readonly description?: string; readonly config?: Keys; readonly devices?: DeviceKeys };

/** Adds a profile, or replaces the one of that name. */
export function addProfile(
  state: State,
  name: string,
  { description = "", config = {}, devices = {} }: ProfileSeed,
  project: string,
): void {
  const at = state.profiles.findIndex((profile) => profile.name === name && profile.project === project);
  const profile = { project, name, description, config, devices };
  if (at < 0) state.profiles.push(profile);
  else state.profiles[at] = profile;
}

export function addTrust(state: State, certificate: string, options: TrustOptions): void {
  const { restricted = false, projects = [], name = "client" } = options;
  const fingerprint = fingerprintOf(certificate);
  state.certificates.set(fingerprint, { fingerprint, name, certificate, restricted, projects });
}
