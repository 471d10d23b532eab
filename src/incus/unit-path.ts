import type { RootVolume } from "../model/copy.ts";
import type { Unit } from "../model/unit.ts";

/** The one place that knows how instances and volumes differ in the API's addresses. */
export function unitPath(unit: Unit): string {
  const name = encodeURIComponent(unit.name);
  switch (unit.kind) {
    case "instance":
      return `/1.0/instances/${name}`;
    case "volume":
      return `${volumesPath(unit.pool)}/${name}`;
  }
}

/** The custom volumes of a pool. */
export function volumesPath(pool: string): string {
  return `/1.0/storage-pools/${encodeURIComponent(pool)}/volumes/custom`;
}

/** The volume of an instance's root disk. */
export function rootVolumePath({ unit, type, pool }: RootVolume): string {
  return `/1.0/storage-pools/${encodeURIComponent(pool)}/volumes/${type}/${encodeURIComponent(unit.name)}`;
}

export function snapshotPath(unit: Unit, name: string): string {
  return `${unitPath(unit)}/snapshots/${encodeURIComponent(name)}`;
}

/**
 * The unit that an address in a server's answer is of; undefined if it is of something else, a snapshot among it.
 * Servers do not percent-encode these, so that each is taken apart by hand.
 */
export function unitAt(address: string): Unit | undefined {
  const [path = "", query = ""] = address.split("?");
  const project = new URLSearchParams(query).get("project") ?? "default";
  const [, instance] = /^\/1\.0\/instances\/([^/]+)$/.exec(path) ?? [];
  if (instance !== undefined) return { kind: "instance", project, name: instance };
  const [, pool, volume] = /^\/1\.0\/storage-pools\/([^/]+)\/volumes\/custom\/([^/]+)$/.exec(path) ?? [];
  if (pool === undefined || volume === undefined) return undefined;
  return { kind: "volume", project, pool, name: volume };
}
