import { z } from "zod";
import { contentOf } from "./instance-create.ts";
import { parseNanos, rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import { Refusal } from "./reply.ts";
import { newGuid } from "./snapshot-store.ts";
import type { Driver, UnitRecord } from "./state.ts";
import { tarOf, untar } from "./tar.ts";

const INDEX = "backup/index.yaml";
const Strings = z.record(z.string(), z.string());

/** What goes ahead of the data. JSON, which is YAML as well. */
const Index = z.object({
  name: z.string(),
  type: z.string(),
  contentType: z.enum(["filesystem", "block", "iso"]).default("filesystem"),
  architecture: z.string().default("x86_64"),
  description: z.string(),
  config: Strings,
  devices: z.record(z.string(), Strings).default({}),
  profiles: z.array(z.string()).default([]),
  snapshots: z.array(z.object({ name: z.string(), created_at: z.string(), expires_at: z.string() })),
});
export type BackupIndex = z.infer<typeof Index>;

export type Unpacked = { readonly index: BackupIndex; readonly fill: (unit: UnitRecord, driver: Driver) => void };

/** A unit as one file: its settings, its snapshots unless they are left out, and its head. */
export function packUnit(unit: UnitRecord, snapshotless: boolean): Buffer {
  const snapshots = snapshotless ? [] : unit.snapshots;
  const { head, below } = placesOf(unit.kind);
  const { name, description, config } = unit;
  const more =
    unit.kind === "instance"
      ? { type: unit.type, architecture: unit.architecture, devices: unit.devices, profiles: unit.profiles }
      : { type: "custom", contentType: unit.contentType };
  const index = {
    name,
    description,
    config,
    ...more,
    snapshots: snapshots.map((snapshot) => ({
      name: snapshot.name,
      created_at: rfc3339Nanos(snapshot.createdAt),
      expires_at: snapshot.expiresAt,
    })),
  };
  return tarOf([
    { name: INDEX, bytes: Buffer.from(JSON.stringify(index)) },
    ...snapshots.map(({ name: at }) => ({ name: `${below}/${at}/content`, bytes: contentOf(unit, at) })),
    { name: `${head}/content`, bytes: unit.content },
  ]);
}

/** What a file brings, and how to fill a new unit with it. A file that is none, or not whole, is refused. */
export function unpack(file: Buffer): Unpacked {
  const entries = untar(file);
  const index = Index.safeParse(parsed(entries?.find(({ name }) => name === INDEX)?.bytes));
  if (entries === undefined) throw new Refusal(500, "unexpected EOF");
  if (!index.success) throw new Refusal(400, "Backup is missing at index.yaml");
  const contents = new Map(entries.map(({ name, bytes }) => [name, bytes]));
  const fill = (unit: UnitRecord, driver: Driver): void => {
    const { head, below } = placesOf(unit.kind);
    unit.content = contents.get(`${head}/content`) ?? Buffer.alloc(0);
    for (const { name, created_at, expires_at } of index.data.snapshots) {
      const devices = unit.kind === "instance" ? unit.devices : {};
      const createdAt = parseNanos(created_at) ?? 0n;
      const expiresAt = expires_at === "" ? ZERO_DATE : expires_at;
      unit.snapshots.push({ name, createdAt, expiresAt, description: "", config: unit.config, devices, profiles: [] });
      const content = contents.get(`${below}/${name}/content`) ?? Buffer.alloc(0);
      // What comes out of a file has an identity of its own, so a refresh cannot build on it.
      unit.datasets.push({ name, guid: newGuid(driver), receivedGuid: "", content });
    }
  };
  return { index: index.data, fill };
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
