import { z } from "zod";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { UnitRecord, Words } from "../model/export.ts";
import type { Archive } from "../model/ports.ts";
import { readTar } from "../tar/read.ts";
import { INDEX_PATH, lastingRecord, parseIndex } from "./backup-index.ts";
import { type Contents, importTar } from "./import-tar.ts";
import { stableExport } from "./stable-export.ts";

/** A workload in the archive: what it was, and its content as a file that Incus imports. */
export type BackupContent = {
  readonly record: UnitRecord;
  readonly sizeBytes: number;
  /** The whole of it, described by the given record. It throws, rather than ends, where it is not whole. */
  readonly file: (record: UnitRecord, signal: AbortSignal) => AsyncIterable<Uint8Array>;
};

const Part = z.object({ name: z.string(), role: z.enum(["files", "block", "export"]), backup: z.string() });
const AnyWords = z.record(z.string(), z.unknown());
/** The record that a run puts last, in the fields that are needed to make the workload again. */
const RunRecord = z.object({
  version: z.literal(1),
  kind: z.enum(["instance", "volume", "dataset"]),
  pool: z.object({ name: z.string(), driver: z.string() }).nullable(),
  parts: z.array(Part),
  instance: AnyWords.optional(),
  volume: AnyWords.optional(),
});
type RunRecord = z.infer<typeof RunRecord>;

/** What the archive has of a workload, given any of the backups that a run made of it. */
export async function backupContent(
  archive: Archive,
  backups: readonly Backup[],
  given: Backup,
  signal: AbortSignal,
): Promise<BackupContent> {
  if (given.tags["role"] === "export") return exportedContent(archive, given, signal);
  const of = backups.find(({ tags }) => tags["role"] === "config" && isOfSameRun(tags, given.tags));
  if (of === undefined) {
    throw new AgentError(
      "kopia.incomplete",
      `Cannot restore ${given.id} to Incus: its run left no record of the workload`,
      {
        hint: "Its run did not come to its end; what there is can be restored to a folder, with --to",
      },
    );
  }
  const record = parseRecord((await gathered(archive.read(of, signal))).toString("utf8"), of.id);
  const parts = record.parts.map((part) => ({ ...part, stored: partOf(backups, part.backup) }));
  const [exported] = parts.filter(({ role }) => role === "export");
  if (exported !== undefined) return exportedContent(archive, exported.stored, signal);
  const contents = (under: AbortSignal): Contents => ({
    folders: parts
      .filter(({ role }) => role === "files")
      .map(({ name, stored }) => ({
        below: name.replace(/^files\/?/, ""),
        tar: archive.read(stored, under),
        root: stored.root,
      })),
    disk: diskOf(parts, (stored) => archive.read(stored, under)),
  });
  return {
    record: unitRecord(record, of.id),
    sizeBytes: parts.reduce((sum, { stored }) => sum + stored.sizeBytes, 0),
    file: (wanted, under) => importTar(wanted, contents(under), `backup ${given.id}`),
  };
}

async function exportedContent(archive: Archive, backup: Backup, signal: AbortSignal): Promise<BackupContent> {
  const what = `backup ${backup.id}`;
  return {
    record: await indexOf(archive.read(backup, signal), what),
    sizeBytes: backup.sizeBytes,
    file: (wanted, under) => stableExport(archive.read(backup, under), wanted, what),
  };
}

async function indexOf(bytes: AsyncIterable<Uint8Array>, what: string): Promise<UnitRecord> {
  for await (const entry of readTar(bytes, what)) {
    if (entry.path === INDEX_PATH) return parseIndex((await gathered(entry.content)).toString("utf8"), what);
  }
  throw new AgentError("kopia.damaged", `Cannot restore ${what}: it holds no ${INDEX_PATH}`);
}

function isOfSameRun(tags: Backup["tags"], others: Backup["tags"]): boolean {
  return ["run", "workload", "host"].every((key) => tags[key] !== undefined && tags[key] === others[key]);
}

function parseRecord(text: string, id: string): RunRecord {
  const read = RunRecord.safeParse(JSON.parse(text));
  if (!read.success) throw new AgentError("kopia.damaged", `Cannot read the record ${id} of a backup`);
  return read.data;
}

function partOf(backups: readonly Backup[], id: string): Backup {
  const found = backups.find((backup) => backup.id === id);
  if (found?.state === "complete") return found;
  const why = found === undefined ? "is no longer in the archive" : `is ${found.state}`;
  throw new AgentError("kopia.incomplete", `Cannot restore to Incus: the part ${id} of the backup ${why}`);
}

type StoredPart = z.infer<typeof Part> & { readonly stored: Backup };

function diskOf(parts: readonly StoredPart[], read: (stored: Backup) => AsyncIterable<Uint8Array>): Contents["disk"] {
  const disks = parts.filter(({ role }) => role === "block");
  const [only, another] = disks;
  if (another !== undefined)
    throw new AgentError("kopia.incomplete", "Cannot restore to Incus: it has more than one disk");
  return only === undefined ? undefined : { bytes: read(only.stored), sizeBytes: only.stored.sizeBytes };
}

/** What a server said of a workload, as an index has it. */
function unitRecord({ kind, pool, instance, volume }: RunRecord, id: string): UnitRecord {
  if (kind === "dataset" || pool === null) {
    throw new AgentError("usage", `Cannot restore ${id} to Incus: it is a dataset, which Incus knows nothing of`, {
      hint: "Restore it to a folder, with --to",
    });
  }
  if (volume !== undefined) return lastingRecord({ kind: "volume", volume, pool });
  const words = instance ?? {};
  const isMachine = words["type"] === "virtual-machine";
  const root: Words = {
    ...{ name: words["name"], project: words["project"], type: words["type"], description: "", config: {} },
    ...{ content_type: isMachine ? "block" : "filesystem", created_at: words["created_at"] },
  };
  return lastingRecord({ kind: "instance", instance: words, volume: root, pool, profiles: [] });
}

async function gathered(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}
