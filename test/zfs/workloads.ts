import { createHash } from "node:crypto";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import { bytesOf } from "../lab/content.ts";
import { call } from "../lab/daemon-api.ts";
import { datasetOf, inGuest, type PoolKind, type ZfsDaemon, zfsSnapshot } from "./guest.ts";

export type Kind = "instance" | "filesystem" | "block";

/** A unit on a source, idle, of which one file or one stretch changes. */
export type ZfsWorkload = { readonly unit: Unit; readonly kind: Kind; readonly pool: PoolKind };

/** What changes in each run; it cannot be compressed. */
export const CONTENT_BYTES = 20_000;
/** What does not change. */
export const FILLING_BYTES = 400_000;

/** Makes an empty unit of a project. */
export async function createUnit(daemon: ZfsDaemon, { unit, kind, pool }: ZfsWorkload, size = "16MiB"): Promise<void> {
  const { project, name } = unit;
  if (kind === "instance") {
    const devices = { root: { type: "disk", path: "/", pool: daemon.pools[pool] } };
    const body = { name, type: "container", source: { type: "image", alias: "tiny" }, devices };
    await call(daemon, "POST", `/1.0/instances?project=${project}`, body);
    return;
  }
  const body = { name, type: "custom", content_type: kind, config: kind === "block" ? { size } : {} };
  await call(daemon, "POST", `/1.0/storage-pools/${daemon.pools[pool]}/volumes?project=${project}`, body);
}

export function workloadOf(
  daemon: ZfsDaemon,
  { project, name, kind, pool }: { project: string; name: string; kind: Kind; pool: PoolKind },
): ZfsWorkload {
  const unit: Unit =
    kind === "instance"
      ? { kind: "instance", project, name }
      : { kind: "volume", project, pool: daemon.pools[pool], name };
  return { unit, kind, pool };
}

export type Change = {
  readonly workload: ZfsWorkload;
  readonly seed: string;
  /** What stays as it is and a full transfer would send again: beside the content, in a volume around it. */
  readonly filling?: boolean;
};

/** Writes the content of a seed into each, behind Incus's back as its workload would. */
export async function writeAll(daemon: ZfsDaemon, changes: readonly Change[], signal: AbortSignal): Promise<void> {
  const lines = changes.map(({ workload, seed, filling = false }) => {
    const { unit, pool } = workload;
    const content = contentOf(workload, seed, filling ? FILLING_BYTES : CONTENT_BYTES);
    return `${datasetOf(daemon, pool, unit)}\t${fileOf(workload, filling)}\t${content.toString("base64")}\n`;
  });
  if (lines.length > 0) await inGuest("lab-write-all", signal, lines.join(""));
}

export type Held = { readonly workload: ZfsWorkload; readonly snapshot: string };

/** The digests of what the snapshots hold where `writeAll()` writes, in the order given. */
export async function readAll(daemon: ZfsDaemon, held: readonly Held[], signal: AbortSignal): Promise<string[]> {
  const lines = held.map(({ workload, snapshot }) => {
    const name = zfsSnapshot(datasetOf(daemon, workload.pool, workload.unit), snapshot);
    return `${name}\t${fileOf(workload)}${workload.kind === "block" ? `\t${CONTENT_BYTES}` : ""}\n`;
  });
  return (await inGuest("lab-read-all", signal, lines.join(""))).trim().split("\n");
}

/** The digest that `readAll()` finds where the content of a seed is. */
export function digestOfSeed(workload: ZfsWorkload, seed: string): string {
  return createHash("sha256")
    .update(contentOf(workload, seed, CONTENT_BYTES))
    .digest("hex");
}

function contentOf({ unit }: ZfsWorkload, seed: string, sizeBytes: number): Buffer {
  return Buffer.concat([...bytesOf(`${seed}/${unit.name}`, sizeBytes)]);
}

function fileOf({ kind }: ZfsWorkload, filling = false): string {
  if (kind === "block") return "-";
  return `${kind === "instance" ? "rootfs/data/" : ""}${filling ? "filling" : "changing"}`;
}

/** By workload, in the order given: the snapshots that ZFS has, with their GUIDs. Foreign to Incus ones by their whole name. */
export async function storedSnapshots(
  daemon: ZfsDaemon,
  workloads: readonly ZfsWorkload[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>[]> {
  const datasets = workloads.map(({ unit, pool }) => datasetOf(daemon, pool, unit));
  const list = await inGuest(`zfs list -H -p -d 1 -t snapshot -o name,guid ${datasets.join(" ")}`, signal);
  const rows = list
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
  return datasets.map((dataset) => {
    const own = rows.filter(([name = ""]) => name.startsWith(`${dataset}@`));
    return new Map(
      own.map(([name = "", guid = ""]) => [name.slice(dataset.length + 1).replace(/^snapshot-/, ""), guid]),
    );
  });
}

/** The names that Incus lists, sorted; without sizes, for which it asks ZFS for every single one. */
export async function listedSnapshots(daemon: ZfsDaemon, unit: Unit): Promise<string[]> {
  const urls = z.array(z.string()).parse(await call(daemon, "GET", unitSnapshots(unit)));
  return urls.map((url) => new URL(url, daemon.url).pathname.split("/").at(-1) ?? "").sort();
}

function unitSnapshots(unit: Unit): string {
  const place = unit.kind === "instance" ? "instances" : `storage-pools/${unit.pool}/volumes/custom`;
  return `/1.0/${place}/${unit.name}/snapshots?project=${unit.project}`;
}
