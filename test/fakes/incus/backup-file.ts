import { z } from "zod";
import { contentOf } from "./instance-create.ts";
import { parseNanos, rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import { Refusal } from "./reply.ts";
import { newGuid } from "./snapshot-store.ts";
import type { Driver, UnitRecord } from "./state.ts";
import { entriesOf, isTar, type TarEntry, tarOf, untar } from "./tar.ts";

const INDEX = "backup/index.yaml";
/** An instance's settings lie beside its root file system once more, and it is made of those. */
const BESIDE = "backup/container/backup.yaml";
const Strings = z.record(z.string(), z.string()).nullish();
const Snapshots = z.array(z.object({ name: z.string(), created_at: z.string(), expires_at: z.string() }));

/** What goes ahead of the data. JSON, which is YAML as well. */
const Index = z.object({
  name: z.string(),
  type: z.string().default("container"),
  snapshots: z.array(z.string()).default([]),
  optimized: z.literal(false),
  config: z.object({
    container: z
      .object({
        architecture: z.string(),
        description: z.string(),
        config: Strings,
        devices: z.record(z.string(), z.record(z.string(), z.string())),
        profiles: z.array(z.string()),
      })
      .optional(),
    snapshots: Snapshots.default([]),
    volume: z
      .object({
        content_type: z.enum(["filesystem", "block", "iso"]),
        description: z.string(),
        config: Strings,
      })
      .optional(),
    volume_snapshots: Snapshots.default([]),
  }),
});
export type BackupIndex = z.infer<typeof Index>;

export type Unpacked = { readonly index: BackupIndex; readonly fill: (unit: UnitRecord, driver: Driver) => void };

/** A unit as one file: its settings, its snapshots unless they are left out, and its head. */
export function packUnit(unit: UnitRecord, snapshotless: boolean): Buffer {
  const snapshots = snapshotless ? [] : unit.snapshots;
  const { head, below } = placesOf(unit.kind);
  const { name, description, config } = unit;
  const dates = snapshots.map((snapshot) => ({
    name: snapshot.name,
    created_at: rfc3339Nanos(snapshot.createdAt),
    expires_at: snapshot.expiresAt,
  }));
  const settings =
    unit.kind === "instance"
      ? {
          container: {
            ...{ description, config, architecture: unit.architecture, devices: unit.devices },
            profiles: unit.profiles,
          },
          snapshots: dates,
        }
      : { volume: { description, config, content_type: unit.contentType }, volume_snapshots: dates };
  const index = {
    name,
    snapshots: dates.map((each) => each.name),
    optimized: false,
    type: unit.kind === "instance" ? unit.type : "custom",
    config: settings,
  };
  return tarOf([
    { name: INDEX, bytes: Buffer.from(JSON.stringify(index)) },
    ...(unit.kind === "instance" ? [{ name: BESIDE, bytes: Buffer.from(JSON.stringify(settings)) }] : []),
    ...snapshots.flatMap(({ name: at }) => entriesAt(`${below}/${at}`, unit, contentOf(unit, at))),
    ...entriesAt(head, unit, unit.content),
  ]);
}

/** What a file brings, and how to fill a new unit with it. A file that is none, or not whole, is refused. */
export function unpack(file: Buffer): Unpacked {
  const { entries, isWhole } = entriesOf(file);
  const bytesAt = (path: string) => entries.find(({ name }) => name === path)?.bytes;
  const index = Index.safeParse(parsed(bytesAt(INDEX)));
  if (!index.success) throw new Refusal(400, `Backup is missing at "${INDEX}"`);
  if (!isWhole) return { index: index.data, fill: breakOff };
  const { snapshots: names, config: listed } = index.data;
  const config = listed.container === undefined ? listed : Index.shape.config.parse(parsed(bytesAt(BESIDE)));
  const fill = (unit: UnitRecord, driver: Driver): void => {
    const { head, below } = placesOf(unit.kind);
    unit.content = contentAt(head, unit, entries);
    for (const { name, created_at, expires_at } of unit.kind === "instance"
      ? config.snapshots
      : config.volume_snapshots) {
      if (!names.includes(name)) throw new Refusal(500, "Valid volume snapshot config not found in index");
      const devices = unit.kind === "instance" ? unit.devices : {};
      const createdAt = parseNanos(created_at) ?? 0n;
      const expiresAt = expires_at === "" ? ZERO_DATE : expires_at;
      unit.snapshots.push({ name, createdAt, expiresAt, description: "", config: unit.config, devices });
      const content = contentAt(`${below}/${name}`, unit, entries);
      // What comes out of a file has an identity of its own, so a refresh cannot build on it.
      unit.datasets.push({ name, guid: newGuid(driver), receivedGuid: "", content });
    }
  };
  return { index: { ...index.data, config }, fill };
}

/** What is not whole is noticed only when it is unpacked. */
function breakOff(): never {
  throw new Refusal(500, "Create instance from backup: Error starting unpack: unexpected EOF");
}

function isImage(unit: UnitRecord): boolean {
  return unit.kind === "volume" && unit.contentType !== "filesystem";
}

/** A content is the bytes of one file, `content`, or a tar of several. */
function entriesAt(place: string, unit: UnitRecord, content: Buffer): TarEntry[] {
  if (isImage(unit)) return [{ name: `${place}.img`, bytes: content }];
  if (!isTar(content)) return [{ name: `${place}/content`, bytes: content }];
  return (untar(content) ?? []).map(({ name, bytes }) => ({ name: `${place}/${name}`, bytes }));
}

function contentAt(place: string, unit: UnitRecord, entries: readonly TarEntry[]): Buffer {
  const files = entries
    .filter(({ name }) => name.startsWith(`${place}/`) && !name.endsWith("/"))
    .map(({ name, bytes }) => ({ name: name.slice(place.length + 1), bytes }));
  if (isImage(unit)) return entries.find(({ name }) => name === `${place}.img`)?.bytes ?? Buffer.alloc(0);
  const [only, ...more] = files;
  return only === undefined || (more.length === 0 && only.name === "content")
    ? (only?.bytes ?? Buffer.alloc(0))
    : tarOf(files);
}

function placesOf(kind: UnitRecord["kind"]): { head: string; below: string } {
  return kind === "instance"
    ? { head: "backup/container/rootfs", below: "backup/snapshots" }
    : { head: "backup/volume", below: "backup/volume-snapshots" };
}

function parsed(bytes: Buffer | undefined): unknown {
  try {
    return JSON.parse(bytes?.toString("utf8") ?? "");
  } catch {
    return undefined;
  }
}
