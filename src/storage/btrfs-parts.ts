import { join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { Files } from "../model/ports.ts";
import { type OpenSubject, type Part, type Subject, subjectId } from "../model/reading.ts";
import { blockBytes } from "./block-bytes.ts";
import type { Held, Holdings } from "./btrfs-hold.ts";
import { COPY_SUFFIX } from "./btrfs-marks.ts";
import { DISK_FILE } from "./btrfs-place.ts";
import type { BtrfsTools } from "./btrfs-tree.ts";

type Tools = BtrfsTools & { readonly files: Files };

/** What of a subject is held, as parts to read; throws where it could not be held. */
export async function openHeld(
  subject: Subject,
  holdings: Holdings,
  tools: Tools,
  signal: AbortSignal,
): Promise<OpenSubject> {
  const id = subjectId(subject);
  const held = holdings.get(id);
  if (held === undefined) throw new AgentError("storage.unusable", `Cannot read ${id}: it is not held`);
  if ("failure" in held) throw held.failure;
  return { parts: await partsOf(id, held, tools, signal), snapshot: undefined, close: async () => {} };
}

async function partsOf(id: string, { place, tree }: Held, tools: Tools, signal: AbortSignal): Promise<readonly Part[]> {
  switch (place.holds) {
    case "files":
      return [filesPart(tree.target)];
    case "disk":
      return [await diskPart(id, tree.target, tools)];
    case "machine":
      return [await diskPart(id, tree.target, tools), filesPart(await withoutDisk(tree.target, tools, signal))];
  }
}

function filesPart(folder: string): Part {
  return { kind: "folder", role: "files", name: "files", folder };
}

async function diskPart(id: string, folder: string, { disks }: Tools): Promise<Part> {
  const path = join(folder, DISK_FILE);
  const found = await disks.look(path);
  if (found?.kind !== "file") {
    throw new AgentError("storage.unusable", `Cannot read ${id}: there is no ${DISK_FILE} in its subvolume`);
  }
  const { sizeBytes } = found;
  const bytes = (signal: AbortSignal) => blockBytes({ path, sizeBytes, what: id }, disks, signal);
  return { kind: "stream", role: "block", name: "disk", fileName: "disk.img", sizeBytes, bytes };
}

/** What a virtual machine has beside its disk: its variables, its keys. A second snapshot, since the first is whole. */
async function withoutDisk(tree: string, { btrfs, disks, files }: Tools, signal: AbortSignal): Promise<string> {
  const copy = `${tree}${COPY_SUFFIX}`;
  if ((await disks.look(copy)) !== undefined) return copy;
  await btrfs.snapshot(tree, copy, "writable", signal);
  await files.remove(join(copy, DISK_FILE));
  await btrfs.setMode(copy, "read-only", signal);
  return copy;
}
