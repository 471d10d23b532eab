import { randomUUID } from "node:crypto";
import type { Contents, VolumeContents } from "../model/contents.ts";
import type { NewVolume } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { ContentType } from "../model/state.ts";
import { DAY_MS, MINUTE_MS, rfc3339 } from "../model/time.ts";
import { unitLabel, type VolumeUnit } from "../model/unit.ts";
import { type NewSmallEntry, type SmallEntry, tarOf, untar } from "../tar/small.ts";
import { carryOut, type Via } from "./carry-out.ts";
import { exists } from "./listing.ts";
import { NEVER } from "./moments.ts";
import { unitPath, volumesPath } from "./unit-path.ts";

/** Where a backup keeps what, as Incus has it since long before 6.0. */
const INDEX = "backup/index.yaml";
const HEAD = "backup/volume";
const SNAPSHOTS = "backup/volume-snapshots";
const BLOCK_SUFFIX = ".img";

/** The date of the first snapshot that a volume is made with. */
const FIRST_AT = Date.UTC(2020, 0, 1);
const EXPORT_MS = 10 * MINUTE_MS;

/** Makes a volume out of a backup that no server has written: so that it can be given any content, on every version. */
export async function createVolume(
  via: Via,
  unit: VolumeUnit,
  made: NewVolume,
  contents: VolumeContents,
  signal: AbortSignal,
): Promise<void> {
  const bytes = tarOf([indexOf(unit, made, contents), ...entriesOf(made.contentType, contents)]);
  const headers = { "X-Incus-name": unit.name };
  const query = { project: unit.project };
  const request = { method: "POST", path: volumesPath(unit.pool), query, headers, bytes } as const;
  const isDone = (under: AbortSignal) => exists(via.connection, unit, under);
  await carryOut(via, { what: `make the volume ${unitLabel(unit)}`, unit, request, isDone }, signal);
}

/** Has the server make a backup of a volume with its snapshots, and reads that. The backup does not stay. */
export async function readContents(via: Via, unit: VolumeUnit, signal: AbortSignal): Promise<VolumeContents> {
  const name = `iab-${randomUUID()}`;
  const backups = `${unitPath(unit)}/backups`;
  const query = { project: unit.project };
  const body = { name, volume_only: false, optimized_storage: false, compression_algorithm: "none" };
  const what = `back up ${unitLabel(unit)}`;
  // What is not known to be there cannot be read.
  const isDone = async () => false;
  try {
    const making = { method: "POST", path: backups, query, body } as const;
    await carryOut(via, { what, unit, request: making, isDone }, signal).catch((error) => {
      throw explained(error, what, unit);
    });
    const download = { method: "GET", path: `${backups}/${name}/export`, query, timeoutMs: EXPORT_MS } as const;
    const backup = await via.connection.download(download, signal);
    return contentsIn(await untar(backup, `the backup that the server made of ${unitLabel(unit)}`));
  } finally {
    await removeBackup(via, unit, `${backups}/${name}`);
  }
}

/** Where a project is restricted, backups have to be allowed there. */
function explained(error: unknown, what: string, { project }: VolumeUnit): unknown {
  if (!(error instanceof AgentError) || !/backup creation/i.test(error.message)) return error;
  return new AgentError("incus.refused", `Cannot ${what}: its project allows no backups`, {
    cause: error,
    hint: `On that server: incus project set ${project} restricted.backups=allow`,
  });
}

/** Under a time of its own. A backup that stays goes with its volume. */
async function removeBackup(via: Via, unit: VolumeUnit, path: string): Promise<void> {
  const request = { method: "DELETE", path, query: { project: unit.project } } as const;
  const what = `delete a backup of ${unitLabel(unit)}`;
  const change = { what, unit, request, isDone: async () => true };
  await carryOut(via, change, AbortSignal.timeout(MINUTE_MS)).catch(() => {});
}

/** What Incus reads of a backup before all else. It is YAML, and so is JSON. */
function indexOf(unit: VolumeUnit, made: NewVolume, { snapshots }: VolumeContents): NewSmallEntry {
  const names = [...snapshots.keys()];
  const { config, description, contentType: content_type } = made;
  const common = { config, description, content_type };
  const index = {
    name: unit.name,
    backend: "dir",
    pool: unit.pool,
    snapshots: names,
    optimized: false,
    optimized_header: false,
    type: "custom",
    config: {
      volume: { ...common, name: unit.name, type: "custom", created_at: rfc3339(FIRST_AT) },
      volume_snapshots: names.map((name, at) => ({
        ...common,
        name,
        created_at: rfc3339(FIRST_AT + at * DAY_MS),
        expires_at: NEVER,
      })),
    },
  };
  return { path: INDEX, isFolder: false, bytes: Buffer.from(JSON.stringify(index)), changedAt: FIRST_AT };
}

/** Each part is a day younger than the one before: what is of one size and age would be one file to rsync. */
function entriesOf(contentType: ContentType, { head, snapshots }: VolumeContents): NewSmallEntry[] {
  const parts = [...snapshots].map(([name, contents]) => [`${SNAPSHOTS}/${name}`, contents] as const);
  return [...parts, [HEAD, head] as const].flatMap(([place, contents], at) => {
    const entries = contentType === "filesystem" ? filesBelow(place, contents) : imageAt(place, contents);
    return entries.map((entry) => ({ ...entry, changedAt: FIRST_AT + at * DAY_MS }));
  });
}

function imageAt(place: string, contents: Contents): SmallEntry[] {
  return [...contents.values()].map((bytes) => ({ path: `${place}${BLOCK_SUFFIX}`, isFolder: false, bytes }));
}

/** The files, behind the folders that they lie in. */
function filesBelow(place: string, contents: Contents): SmallEntry[] {
  const folders = new Set([
    place,
    ...[...contents.keys()].flatMap((path) => foldersOf(path).map((each) => `${place}/${each}`)),
  ]);
  return [
    ...[...folders].map((path) => ({ path, isFolder: true, bytes: Buffer.alloc(0) })),
    ...[...contents].map(([path, bytes]) => ({ path: `${place}/${path}`, isFolder: false, bytes })),
  ];
}

/** `a/b` lies in `a`, and `a/b/c` in `a` and `a/b`. */
function foldersOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, at) => parts.slice(0, at + 1).join("/"));
}

/** The files of a backup, by where they belong. */
function contentsIn(entries: readonly SmallEntry[]): VolumeContents {
  const head = new Map<string, Uint8Array>();
  const snapshots = new Map<string, Map<string, Uint8Array>>();
  const of = (snapshot: string) => {
    const contents = snapshots.get(snapshot) ?? new Map<string, Uint8Array>();
    snapshots.set(snapshot, contents);
    return contents;
  };
  for (const { path, isFolder, bytes } of entries) {
    const place = placeOf(path);
    if (place === undefined) continue;
    const contents = place.snapshot === undefined ? head : of(place.snapshot);
    if (!isFolder) contents.set(place.path, bytes);
  }
  return { head, snapshots };
}

type Place = { readonly snapshot: string | undefined; readonly path: string };

/** Whose a path of a backup is: the head's or a snapshot's; an empty path is the whole image, or the folder itself. */
function placeOf(path: string): Place | undefined {
  if (path === HEAD || path === `${HEAD}${BLOCK_SUFFIX}`) return { snapshot: undefined, path: "" };
  if (path.startsWith(`${HEAD}/`)) return { snapshot: undefined, path: path.slice(HEAD.length + 1) };
  if (!path.startsWith(`${SNAPSHOTS}/`)) return undefined;
  const [name = "", ...below] = path.slice(SNAPSHOTS.length + 1).split("/");
  if (below.length > 0) return { snapshot: name, path: below.join("/") };
  return { snapshot: name.endsWith(BLOCK_SUFFIX) ? name.slice(0, -BLOCK_SUFFIX.length) : name, path: "" };
}
