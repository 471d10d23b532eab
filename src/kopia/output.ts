import { z } from "zod";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";

/** Kopia's record of a backup, in the fields that we read. */
const Manifest = z.object({
  id: z.string(),
  source: z.object({ host: z.string(), userName: z.string(), path: z.string() }),
  description: z.string().default(""),
  startTime: z.iso.datetime(),
  endTime: z.iso.datetime(),
  incomplete: z.string().optional(),
  rootEntry: z
    .object({
      obj: z.string(),
      size: z.number().optional(),
      type: z.string().optional(),
      mode: z.string().optional(),
      uid: z.number().default(0),
      gid: z.number().default(0),
      summ: z
        .object({
          size: z.number().default(0),
          files: z.number().default(0),
          numFailed: z.number().default(0),
          errors: z.array(z.object({ path: z.string(), error: z.string() })).default([]),
        })
        .optional(),
    })
    .optional(),
  tags: z.record(z.string(), z.string()).default({}),
});

export type Manifest = z.infer<typeof Manifest>;

/** What `snapshot list` prints: the backups of every host, incomplete ones too. */
export const Manifests = z.array(Manifest);
/** What `snapshot create` prints. */
export const Created = Manifest;

export const Status = z.object({
  clientOptions: z.object({ hostname: z.string(), username: z.string() }),
  storage: z.object({ type: z.string() }),
});

export const Maintenance = z.object({
  owner: z.string(),
  schedule: z.object({
    runs: z
      .record(z.string(), z.array(z.object({ end: z.iso.datetime(), success: z.boolean().default(false) })).nullable())
      .nullable()
      .default({}),
  }),
});

export const VerifiedObjects = z.object({
  stats: z.object({
    processedObjectCount: z.number(),
    readFileCount: z.number(),
    readBytes: z.number(),
  }),
  errorCount: z.number().default(0),
  errorStrings: z.array(z.string()).default([]),
});

/** What Kopia printed, by its schema. */
export function parseOutput<T>(schema: z.ZodType<T>, text: string, doing: string): T {
  const read = schema.safeParse(jsonOf(text));
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new AgentError(
    "kopia.failed",
    `Cannot ${doing}: what Kopia printed makes no sense (${issue?.path.join(".")}: ${issue?.message})`,
    { hint: "use Kopia 0.21 or newer" },
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema says what is wrong with it.
    return undefined;
  }
}

/** The tag that says that a backup is one stream, and what its file is called. */
export const STREAM_TAG = "stream";

function rootOf(mode: string, { uid, gid }: { readonly uid: number; readonly gid: number }) {
  return { mode: Number.parseInt(mode, 8) & 0o7777, uid, gid };
}

/** A backup in our words. */
export function backupOf(manifest: Manifest): Backup {
  const { id, source, description, startTime, endTime, rootEntry, incomplete } = manifest;
  const tags = Object.fromEntries(
    Object.entries(manifest.tags).map(([key, value]) => [key.replace(/^tag:/, ""), value]),
  );
  const ended = incomplete !== undefined || rootEntry === undefined;
  return {
    id,
    at: Date.parse(startTime),
    endedAt: Date.parse(endTime),
    sizeBytes: rootEntry?.summ?.size ?? rootEntry?.size ?? 0,
    fileCount: rootEntry?.summ?.files ?? 0,
    source: `${source.userName}@${source.host}:${source.path}`,
    description,
    tags,
    streamName: tags[STREAM_TAG],
    ...(rootEntry?.mode === undefined ? {} : { root: rootOf(rootEntry.mode, rootEntry) }),
    state: ended ? "incomplete" : (rootEntry.summ?.numFailed ?? 0) > 0 ? "damaged" : "complete",
  };
}
