import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import { changeTree, digestOf, digestOfFile, writeBytes, writeTree } from "./content.ts";
import { call } from "./daemon-api.ts";
import type { LabDaemon } from "./lab.ts";

const run = promisify(execFile);

const Device = z.object({ type: z.string().optional(), path: z.string().optional(), pool: z.string().optional() });
const InstanceFacts = z.object({ expanded_devices: z.record(z.string(), Device) });
const VolumeFacts = z.object({ content_type: z.string() });

/**
 * The digest of what a unit holds, or one of its snapshots: read from the pool's own files, past every API. An instance's
 * is that of its root file system, a block volume's that of its bytes.
 */
export async function contentDigest(daemon: LabDaemon, unit: Unit, snapshot?: string): Promise<string> {
  const path = await contentPath(daemon, unit, snapshot);
  // Of a disk the bytes alone: the file that has them on some pools is Incus's own.
  return await (path.endsWith("/root.img") ? digestOfFile(path) : digestOf(path));
}

/** Fills a new unit with content that depends on the seed only. */
export async function fillContent(daemon: LabDaemon, unit: Unit, seed: string, sizeBytes?: number): Promise<void> {
  const path = await contentPath(daemon, unit);
  if (path.endsWith("/root.img")) await writeBytes(path, seed, sizeBytes ?? 200_000, BLOCK_START);
  else await writeTree(path, seed, sizeBytes);
}

/** Changes the content of a unit that `fillContent()` filled: by the seed only, given what was there. */
export async function changeContent(daemon: LabDaemon, unit: Unit, seed: string, sizeBytes?: number): Promise<void> {
  const path = await contentPath(daemon, unit);
  if (path.endsWith("/root.img")) await writeBytes(path, seed, sizeBytes ?? 50_000, BLOCK_START);
  else await changeTree(path, seed, sizeBytes);
}

/** Not the first byte, so that the file's size stays what the pool made it. */
const BLOCK_START = 4096;

/** Where this machine sees the content of a unit: the root file system, the volume's folder, or its block file. */
export async function contentPath(daemon: LabDaemon, unit: Unit, snapshot?: string): Promise<string> {
  const suffix = snapshot === undefined ? "" : "-snapshots";
  if (unit.kind === "instance") {
    const name = unit.project === "default" ? unit.name : `${unit.project}_${unit.name}`;
    const pool = await rootPool(daemon, unit.project, unit.name);
    return join(daemon.storageDir, pool, `containers${suffix}`, name, snapshot ?? "", "rootfs");
  }
  const path = `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}?project=${unit.project}`;
  const { content_type: type } = VolumeFacts.parse(await call(daemon, "GET", path));
  const name = `${unit.project}_${unit.name}${type === "iso" ? ".iso" : ""}`;
  const folder = join(daemon.storageDir, unit.pool, `custom${suffix}`, name, snapshot ?? "");
  return type === "filesystem" ? folder : join(folder, "root.img");
}

async function rootPool(daemon: LabDaemon, project: string, name: string): Promise<string> {
  const facts = InstanceFacts.parse(await call(daemon, "GET", `/1.0/instances/${name}?project=${project}`));
  const root = Object.values(facts.expanded_devices).find((device) => device.type === "disk" && device.path === "/");
  if (root?.pool === undefined) throw new Error(`Instance ${project}/${name} has no root disk`);
  return root.pool;
}

/** Every subvolume of a btrfs pool, hidden ones too, by its path in the pool. */
export async function subvolumes(daemon: LabDaemon, pool: string): Promise<string[]> {
  const inside = ["--target", String(daemon.keeperPid), "--mount", "--", "/usr/bin/btrfs", "subvolume", "list"];
  const { stdout } = await run("nsenter", [...inside, join(daemon.incusDir, "storage-pools", pool)]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/^.* path /, ""))
    .sort();
}

/** Deletes subvolumes of a btrfs pool past every API, given by their paths in the pool. */
export async function deleteSubvolumes(daemon: LabDaemon, pool: string, paths: readonly string[]): Promise<void> {
  const inside = ["--target", String(daemon.keeperPid), "--mount", "--", "/usr/bin/btrfs", "subvolume", "delete"];
  for (const path of paths) await run("nsenter", [...inside, join(daemon.incusDir, "storage-pools", pool, path)]);
}

/**
 * Deletes what a server has received of a transfer whose peer is gone: it lies in a scratch folder of the pool, and no API
 * shows or removes it.
 */
export async function sweepMigrations(daemon: LabDaemon, pool: string): Promise<void> {
  const left = (await orphanSubvolumes(daemon, pool)).filter((path) => /^\w+\/migration\.\d+\//.test(path));
  await deleteSubvolumes(daemon, pool, left);
}

const Volume = z.object({ name: z.string(), type: z.string(), project: z.string(), content_type: z.string() });

/**
 * The subvolumes of a btrfs pool that no instance, volume, image or snapshot of the API accounts for: what a copy that
 * went wrong has left behind.
 */
export async function orphanSubvolumes(daemon: LabDaemon, pool: string): Promise<string[]> {
  const known = new Set(await knownPaths(daemon, pool));
  const isKnown = (path: string) => known.has(path) || [...known].some((parent) => path.startsWith(`${parent}/`));
  return (await subvolumes(daemon, pool)).filter((path) => !isKnown(path));
}

const FOLDER_OF_TYPE: Readonly<Record<string, string>> = {
  container: "containers",
  "virtual-machine": "virtual-machines",
  custom: "custom",
  image: "images",
};

async function knownPaths(daemon: LabDaemon, pool: string): Promise<string[]> {
  // With recursion=2 newer servers tell the snapshots inside the volume, older ones as volumes named volume/snapshot.
  const Full = Volume.extend({ snapshots: z.array(z.object({ name: z.string() })).nullish() });
  const url = `/1.0/storage-pools/${pool}/volumes?recursion=2&all-projects=true`;
  const volumes = z.array(Full).parse(await call(daemon, "GET", url));
  return volumes.flatMap(({ name, type, project, content_type: content, snapshots }) => [
    pathOfVolume(type, project, content === "iso" ? `${name}.iso` : name),
    ...(snapshots ?? []).map((each) => pathOfVolume(type, project, `${name}/${lastPart(each.name)}`)),
  ]);
}

function pathOfVolume(type: string, project: string, name: string): string {
  const plain = type === "image" || (project === "default" && type !== "custom");
  const folder = `${FOLDER_OF_TYPE[type] ?? type}${name.includes("/") ? "-snapshots" : ""}`;
  return join(folder, plain ? name : `${project}_${name}`);
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}
