import type { Capabilities } from "../model/state.ts";

/** What every server has to have: without these no replication of ours works. All are older than 6.0. */
export const REQUIRED_EXTENSIONS = [
  "container_push",
  "container_incremental_copy",
  "custom_volume_refresh",
  "instance_all_projects",
  "storage_volumes_all_projects",
  "networks_all_projects",
  "profiles_all_projects",
  "operation_wait",
] as const;

/** A release, and those of the LTS lines that had the change ported back. */
type Since = { readonly main: Version; readonly lts60?: Version; readonly lts70?: Version };
type Version = readonly [major: number, minor: number, patch: number];

/** What changed without an extension to tell it by. */
const CHANGES = {
  cancelMigration: { main: [7, 0, 0] },
  listPoolsRestricted: { main: [6, 21, 0], lts60: [6, 0, 6] },
  patchKeepsDescription: { main: [6, 17, 0], lts60: [6, 0, 6] },
  repairsHalves: { main: [7, 4, 0], lts70: [7, 0, 2] },
  tellLateSuccess: { main: [6, 13, 0], lts60: [6, 0, 5] },
  zfsNewestCommon: { main: [7, 0, 1] },
} as const satisfies Partial<Record<keyof Capabilities, Since>>;

/** What a server can do: by its extensions, which the long-term releases get in another order, where there is one. */
export function capabilitiesOf(version: string, extensions: readonly string[]): Capabilities {
  const has = new Set(extensions);
  const since = (change: Since) => hasChange(parseVersion(version), change);
  return {
    excludeOlder: has.has("custom_volume_refresh_exclude_older_snapshots"),
    fullVolumes: has.has("storage_volume_full"),
    directBackup: has.has("direct_backup"),
    cancelMigration: since(CHANGES.cancelMigration),
    listPoolsRestricted: since(CHANGES.listPoolsRestricted),
    patchKeepsDescription: since(CHANGES.patchKeepsDescription),
    repairsHalves: since(CHANGES.repairsHalves),
    tellLateSuccess: since(CHANGES.tellLateSuccess),
    zfsNewestCommon: since(CHANGES.zfsNewestCommon),
  };
}

/** What is missing of what every server has to have. */
export function missingExtensions(extensions: readonly string[]): readonly string[] {
  return REQUIRED_EXTENSIONS.filter((name) => !extensions.includes(name));
}

function hasChange(version: Version, { main, lts60, lts70 }: Since): boolean {
  const [major, minor] = version;
  if (major === 6 && minor === 0) return lts60 !== undefined && compare(version, lts60) >= 0;
  if (major === 7 && minor === 0 && lts70 !== undefined) return compare(version, lts70) >= 0;
  return compare(version, main) >= 0;
}

/** A version that cannot be read counts as the oldest: what it may lack is done without. */
function parseVersion(text: string): Version {
  const [major = 0, minor = 0, patch = 0] = (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "").split(".").map(Number);
  return [major, minor, patch];
}

function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
