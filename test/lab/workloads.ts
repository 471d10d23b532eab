import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import type { InstanceUnit, Unit, VolumeUnit } from "../../src/model/unit.ts";
import { writeBytes } from "./content.ts";
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
  readonly ephemeral?: boolean;
  /** What the content is made of; without it the instance holds the image alone. */
  readonly seed?: string;
  readonly sizeBytes?: number;
  /** Of a cluster: the member to be on; `daemon` has to be that one. */
  readonly member?: string;
};

/** Creates a stopped container from the image `tiny`. */
export async function createInstance(daemon: LabDaemon, wanted: NewInstance): Promise<InstanceUnit> {
  const { project, name, pool, config = {}, devices = {}, description = "", ephemeral = false } = wanted;
  const root = pool === undefined ? {} : { root: { type: "disk", path: "/", pool } };
  const source = { type: "image", alias: "tiny" };
  const body = { name, type: "container", source, config, devices: { ...root, ...devices }, description, ephemeral };
  const on = wanted.member === undefined ? "" : `&target=${wanted.member}`;
  await call(daemon, "POST", `/1.0/instances?project=${project}${on}`, body);
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

/** Imports an ISO image; Incus rounds its size up to whole blocks of 8 KiB. */
export async function createIso(
  daemon: LabDaemon,
  { project, pool, name, seed, sizeBytes = 64 * 8192 }: NewVolume,
): Promise<VolumeUnit> {
  const folder = await mkdtemp(join(tmpdir(), "iab-iso-"));
  try {
    const file = join(folder, "image.iso");
    await writeBytes(file, seed ?? name, sizeBytes, 0);
    const words = ["storage", "volume", "import", pool, file, name, "--type=iso", "--project", project];
    await promisify(execFile)(daemon.client, words);
  } finally {
    await rm(folder, { recursive: true });
  }
  return { kind: "volume", project, pool, name };
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

/** Asks for a change of an instance's state, as the API names it. */
export async function changeState(daemon: Daemon, unit: InstanceUnit, action: "freeze" | "unfreeze"): Promise<void> {
  await call(daemon, "PUT", addressOf(unit, "/state"), { action, timeout: 30 });
}

const State = z.object({ pid: z.number(), status: z.string() });

/** Kills the first process of a running container, as a crash would. */
export async function crashInstance(daemon: LabDaemon, unit: InstanceUnit): Promise<void> {
  const stateOf = async () => State.parse(await call(daemon, "GET", addressOf(unit, "/state")));
  const { pid } = await stateOf();
  // The number is that of the daemon's own process namespace.
  const inside = ["--target", String(daemon.keeperPid), "--pid", "--", "sh", "-c", `kill -9 ${pid}`];
  await promisify(execFile)("nsenter", inside);
  while ((await stateOf()).status === "Running");
}

export async function deleteUnit(daemon: Daemon, unit: Unit): Promise<void> {
  await call(daemon, "DELETE", addressOf(unit));
}

function addressOf(unit: Unit, more = ""): string {
  const query = `?project=${unit.project}`;
  if (unit.kind === "instance") return `/1.0/instances/${unit.name}${more}${query}`;
  return `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}${more}${query}`;
}
