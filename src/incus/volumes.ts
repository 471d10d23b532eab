import { z } from "zod";
import type { Volume } from "../model/state.ts";
import type { InstanceUnit } from "../model/unit.ts";
import { memberOf, SnapshotSchema, Strings, snapshotsOf, type WireSnapshot } from "./instances.ts";
import { epochMs, Moment } from "./moments.ts";
import { unitAt } from "./unit-path.ts";

export const VolumeSchema = z.object({
  name: z.string(),
  project: z.string().default("default"),
  content_type: z
    .enum(["filesystem", "block", "iso", ""])
    .default("")
    .transform((type) => (type === "" ? "filesystem" : type)),
  description: z.string().default(""),
  config: Strings,
  used_by: z.array(z.string()).nullish(),
  location: z.string().default(""),
  created_at: Moment,
  snapshots: z.array(SnapshotSchema).nullish(),
});
type WireVolume = z.infer<typeof VolumeSchema>;

/** The volumes of a pool, from a list that holds each one's snapshots within it. */
export function fullVolumesOf(pool: string, list: readonly WireVolume[]): readonly Volume[] {
  return distinct(list.map((wire) => volumeOf(pool, wire, wire.snapshots ?? [])));
}

/** The volumes of a pool, from a list in which snapshots stand among them, as `volume/snapshot`. */
export function flatVolumesOf(pool: string, list: readonly WireVolume[]): readonly Volume[] {
  const snapshots = new Map<string, WireVolume[]>();
  for (const wire of list.filter(isSnapshot)) {
    const place = placeOf(wire, wire.name.slice(0, wire.name.indexOf("/")));
    const siblings = snapshots.get(place);
    if (siblings === undefined) snapshots.set(place, [wire]);
    else siblings.push(wire);
  }
  const volumes = list.filter((wire) => !isSnapshot(wire));
  return distinct(volumes.map((wire) => volumeOf(pool, wire, snapshots.get(placeOf(wire, wire.name)) ?? [])));
}

function isSnapshot(wire: WireVolume): boolean {
  return wire.name.includes("/");
}

/** In a cluster, members may have volumes of the same name. */
function placeOf(wire: WireVolume, name: string): string {
  return `${wire.project}/${name}/${wire.location}`;
}

function volumeOf(pool: string, wire: WireVolume, snapshots: readonly WireSnapshot[]): Volume {
  return {
    kind: "volume",
    project: wire.project,
    pool,
    name: wire.name,
    contentType: wire.content_type,
    config: wire.config,
    description: wire.description,
    usedBy: (wire.used_by ?? []).flatMap(asInstance),
    location: memberOf(wire.location),
    createdAt: epochMs(wire.created_at),
    snapshots: snapshotsOf(snapshots),
  };
}

function asInstance(address: string): InstanceUnit[] {
  const unit = unitAt(address);
  return unit?.kind === "instance" ? [unit] : [];
}

/** A volume that several projects share may be listed for each of them; the project it names is always the same. */
function distinct(volumes: readonly Volume[]): readonly Volume[] {
  const byPlace = new Map(volumes.map((volume) => [`${volume.project}/${volume.name}/${volume.location}`, volume]));
  return [...byPlace.values()];
}
