import type { IncusServer } from "../../src/incus/server.ts";
import type { Copy, InstanceCopy, VolumeCopy } from "../../src/model/copy.ts";
import type { Mode } from "../../src/model/job.ts";
import type { Server, Servers } from "../../src/model/ports.ts";
import type { Config, Devices } from "../../src/model/state.ts";
import type { InstanceUnit, Unit, VolumeUnit } from "../../src/model/unit.ts";
import type { Certificate } from "../fakes/incus/certificate.ts";
import type { RawClient } from "../fakes/incus/raw-client.ts";

export type Side = "source" | "target";

export type InstanceWish = {
  readonly name: string;
  /** Of the root disk; without it the default profile has it. */
  readonly pool?: string;
  readonly config?: Config;
  readonly devices?: Devices;
  readonly description?: string;
};

export type VolumeWish = {
  readonly name: string;
  readonly pool: string;
  readonly contentType?: "filesystem" | "block";
  readonly config?: Config;
  readonly description?: string;
};

export type Rights = { readonly name: string; readonly projects?: readonly string[] };

/** Two servers of one generation to act on, fake or real: pools `local` and `tank` (btrfs) and `plain` (dir). */
export type Stage = {
  readonly generation: "6.0" | "7.0";
  /** The suite's own, on both: volumes of its own, the profiles of `default`. */
  readonly project: string;
  /** The agent's client. */
  readonly servers: Servers;
  /** The same, for the files of units. `close` ends them too. */
  readonly files: Readonly<Record<Side, IncusServer>>;
  /** Plain HTTP, with all rights. */
  readonly raw: Readonly<Record<Side, RawClient>>;
  /** A stopped container with content that depends on its name. */
  createInstance(side: Side, wish: InstanceWish): Promise<InstanceUnit>;
  createVolume(side: Side, wish: VolumeWish): Promise<VolumeUnit>;
  /** Changes the live head. */
  changeContent(side: Side, unit: Unit, seed: string): Promise<void>;
  /** Of what a snapshot or the live head really holds. */
  digest(side: Side, unit: Unit, snapshot?: string): Promise<string>;
  makeToken(side: Side, rights: Rights): Promise<string>;
  trust(side: Side, client: Certificate, rights: Rights): Promise<void>;
  /** The agent's client with other rights. `close` it. */
  openAs(side: Side, client: Certificate): Server & { close(): Promise<void> };
  /** Returns when the server's clock is in another second: snapshots of one second are told apart by nobody. */
  nextSecond(): Promise<void>;
  close(): Promise<void>;
};

let count = 0;

/** A name that nothing else has. */
export function fresh(kind: string): string {
  count += 1;
  return `${kind}-${count}`;
}

/** The address of a unit, or of something below it, with its project. */
export function pathOf(unit: Unit, below = ""): string {
  const where =
    unit.kind === "instance" ? `instances/${unit.name}` : `storage-pools/${unit.pool}/volumes/custom/${unit.name}`;
  return `/1.0/${where}${below}?project=${unit.project}`;
}

/** The same path with another project in it. */
export function inProject(stage: Stage, path: string): string {
  return `${path}${path.includes("?") ? "&" : "?"}project=${stage.project}`;
}

/** A copy of a unit to the same name on the target. */
export function copyOf(unit: Unit, changes: Partial<Omit<Copy, "kind">> = {}): Copy {
  const common = {
    mode: "pull" as Mode,
    member: undefined,
    allowInconsistent: false,
    keep: [],
    sends: undefined,
    bytesPerSecond: undefined,
  };
  if (unit.kind === "instance") {
    const root = { root: { type: "disk", path: "/", pool: "local" } };
    const create = { type: "container", architecture: "x86_64", description: "a replica", config: {}, devices: root };
    const copy = {
      ...common,
      kind: "instance",
      source: unit,
      target: unit,
      create: { ...create, profiles: ["default"] },
    };
    return { ...copy, ...changes } as InstanceCopy;
  }
  const create = { contentType: "filesystem", description: "a replica", config: {} };
  return { ...common, kind: "volume", source: unit, target: unit, create, ...changes } as VolumeCopy;
}

export async function names(server: Server, unit: Unit, signal: AbortSignal): Promise<string[]> {
  return (await server.snapshots(unit, signal)).map((snapshot) => snapshot.name);
}

/** Both sides have these snapshots, each with the same content, and the same live head. */
export async function differences(stage: Stage, unit: Unit, signal: AbortSignal): Promise<string[]> {
  const listed = await names(stage.servers.target, unit, signal);
  const found: string[] = [];
  for (const name of [undefined, ...listed]) {
    const [source, target] = await Promise.all([
      stage.digest("source", unit, name),
      stage.digest("target", unit, name),
    ]);
    if (source !== target) found.push(name ?? "the live head");
  }
  return found;
}
