import type { InstanceUnit, Unit, VolumeUnit } from "../../src/model/unit.ts";
import { call } from "./daemon-api.ts";
import type { Daemon, LabDaemon } from "./lab.ts";
import { fillContent } from "./storage.ts";

type Device = Readonly<Record<string, string>>;

export type NewInstance = {
  readonly project: string;
  readonly name: string;
  /** The pool of the root disk; without it the one of the default profile. */
  readonly pool?: string;
  readonly config?: Readonly<Record<string, string>>;
  readonly devices?: Readonly<Record<string, Device>>;
  readonly description?: string;
  /** What the content is made of; without it the instance holds the image alone. */
  readonly seed?: string;
  readonly sizeBytes?: number;
};

/** Creates a stopped container from the image `tiny`. */
export async function createInstance(daemon: LabDaemon, wanted: NewInstance): Promise<InstanceUnit> {
  const { project, name, pool, config = {}, devices = {}, description = "" } = wanted;
  const root = pool === undefined ? {} : { root: { type: "disk", path: "/", pool } };
  const source = { type: "image", alias: "tiny" };
  const body = { name, type: "container", source, config, devices: { ...root, ...devices }, description };
  await call(daemon, "POST", `/1.0/instances?project=${project}`, body);
  const unit = { kind: "instance", project, name } as const;
  if (wanted.seed !== undefined) await fillContent(daemon, unit, wanted.seed, wanted.sizeBytes);
  return unit;
}

export type NewVolume = {
  readonly project: string;
  readonly pool: string;
  readonly name: string;
  readonly contentType?: "filesystem" | "block";
  readonly config?: Readonly<Record<string, string>>;
  readonly description?: string;
  readonly seed?: string;
  readonly sizeBytes?: number;
};

/** Creates a custom volume; a block volume has 64 MiB unless its config says another size. */
export async function createVolume(daemon: LabDaemon, wanted: NewVolume): Promise<VolumeUnit> {
  const { project, pool, name, contentType = "filesystem", description = "" } = wanted;
  const config = { ...(contentType === "block" ? { size: "64MiB" } : {}), ...wanted.config };
  const body = { name, type: "custom", content_type: contentType, config, description };
  await call(daemon, "POST", `/1.0/storage-pools/${pool}/volumes?project=${project}`, body);
  const unit = { kind: "volume", project, pool, name } as const;
  if (wanted.seed !== undefined) await fillContent(daemon, unit, wanted.seed, wanted.sizeBytes);
  return unit;
}

/** Takes a snapshot by hand, as a person would with the CLI. */
export async function takeSnapshot(daemon: Daemon, unit: Unit, name: string): Promise<void> {
  await call(daemon, "POST", addressOf(unit, "/snapshots"), { name });
}

export async function deleteSnapshot(daemon: Daemon, unit: Unit, name: string): Promise<void> {
  await call(daemon, "DELETE", addressOf(unit, `/snapshots/${name}`));
}

export async function startInstance(daemon: Daemon, unit: InstanceUnit): Promise<void> {
  await call(daemon, "PUT", addressOf(unit, "/state"), { action: "start", timeout: 30 });
}

export async function stopInstance(daemon: Daemon, unit: InstanceUnit): Promise<void> {
  await call(daemon, "PUT", addressOf(unit, "/state"), { action: "stop", force: true, timeout: 30 });
}

export async function deleteUnit(daemon: Daemon, unit: Unit): Promise<void> {
  await call(daemon, "DELETE", addressOf(unit));
}

function addressOf(unit: Unit, more = ""): string {
  const query = `?project=${unit.project}`;
  if (unit.kind === "instance") return `/1.0/instances/${unit.name}${more}${query}`;
  return `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}${more}${query}`;
}
