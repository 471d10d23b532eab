import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Copy } from "../../src/model/copy.ts";
import type { Unit } from "../../src/model/unit.ts";
import { type CopyLab, copyOf, ignore, snapshotsOf } from "../contract/copy-lab.ts";
import type { Pair } from "../incus/history-simulation.ts";
import { writeBytes } from "../lab/content.ts";
import type { LabDaemon } from "../lab/lab.ts";
import { contentDigest, contentPath } from "../lab/storage.ts";
import { createInstance, createVolume, deleteSnapshot, takeSnapshot } from "../lab/workloads.ts";

export type LabPairOptions = {
  readonly kind: "instance" | "filesystem" | "block";
  readonly sourceDriver: "btrfs" | "dir";
  readonly targetDriver: "btrfs" | "dir";
};

/** A unit of the lab with its replica. */
export type LabPair = Pair & {
  readonly source: LabDaemon;
  readonly target: LabDaemon;
  readonly sourcePool: string;
  readonly unit: Unit;
  readonly replica: Unit;
  readonly copyOf: Copy;
  sourceNames(): Promise<readonly string[]>;
  /** Adds so much to what the source holds. */
  growSource(seed: string, sizeBytes: number): Promise<void>;
  /** A transfer is the whole unit whatever has changed of it. */
  readonly sendsWhole: boolean;
};

/** Makes a unit whose content changes by a little in each run, and nothing of it on the target yet. */
export async function openLabPair(copyLab: CopyLab, options: LabPairOptions): Promise<LabPair> {
  const { source, target, project } = copyLab;
  const { kind, sourceDriver, targetDriver } = options;
  const name = `${kind}-${sourceDriver}-${targetDriver}`;
  const place = { project, name, pool: source.pools[sourceDriver], seed: name, sizeBytes: CONTENT_BYTES };
  const unit =
    kind === "instance"
      ? await createInstance(source, place)
      : await createVolume(source, { ...place, contentType: kind, config: kind === "block" ? { size: "8MiB" } : {} });
  const copy = copyOf("relay", unit, target.pools[targetDriver], kind === "block" ? "block" : "filesystem");
  const replica = copy.target;
  let takenAt = 0;
  let changes = 0;
  let isMade = false;
  const on = (side: "source" | "target") =>
    side === "source" ? ([source, unit] as const) : ([target, replica] as const);
  return {
    name: `${source.generation} to ${target.generation}: ${name}`,
    source,
    target,
    sourcePool: place.pool,
    unit,
    replica,
    sendsWhole: kind === "block" && (sourceDriver === "dir" || targetDriver === "dir"),
    copyOf: copy,
    sourceNames: async () => (await snapshotsOf(source, unit)).map((snapshot) => snapshot.name),
    growSource: async (seed, sizeBytes) =>
      writeBytes(join(await contentPath(source, unit), `more-${seed}`), seed, sizeBytes, 0),
    changeSource: async (seed) => {
      changes += 1;
      await changePart(source, unit, changes % PARTS, seed);
    },
    takeSnapshot: async (snapshot) => {
      if (kind === "instance") await aSecondAfter(takenAt);
      await takeSnapshot(source, unit, snapshot);
      takenAt = Date.now();
    },
    targetSnapshots: async () => (isMade ? snapshotsOf(target, replica) : []),
    deleteSnapshot: (side, snapshot) => deleteSnapshot(...on(side), snapshot),
    digest: (side, snapshot) => contentDigest(...on(side), snapshot),
    copy: async (keep, sends) => {
      const copied = await copyLab.servers.copy({ ...copy, keep, sends }, ignore, new AbortController().signal);
      isMade = true;
      return copied;
    },
  };
}

const CONTENT_BYTES = 200_000;
/** What changes in each run: one part of several, so that the content stays as large as it is. */
export const CHANGE_BYTES = 50_000;
const PARTS = 4;

/** A file of a tree, or a stretch of a block volume that is not its first. */
async function changePart(daemon: LabDaemon, unit: Unit, part: number, seed: string): Promise<void> {
  const path = await contentPath(daemon, unit);
  if (path.endsWith(".img")) await writeBytes(path, seed, CHANGE_BYTES, (part + 1) * CHANGE_BYTES);
  else await writeBytes(join(path, `part-${part}`), seed, CHANGE_BYTES, 0);
}

/** Servers date the snapshots of instances to the second, and take two of the same second for one. */
async function aSecondAfter(at: number): Promise<void> {
  await setTimeout(Math.max(0, Math.floor(at / 1000) * 1000 + 1000 - Date.now()));
}
