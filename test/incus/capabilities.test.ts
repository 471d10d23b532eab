import { expect, test } from "vitest";
import { capabilitiesOf, missingExtensions, REQUIRED_EXTENSIONS } from "../../src/incus/capabilities.ts";
import type { Capabilities } from "../../src/model/state.ts";

const NONE: Capabilities = {
  excludeOlder: false,
  fullVolumes: false,
  directBackup: false,
  cancelMigration: false,
  listPoolsRestricted: false,
  patchKeepsDescription: false,
  zfsNewestCommon: false,
};

const versions: { version: string; can: Partial<Capabilities> }[] = [
  { version: "6.0.0", can: {} },
  { version: "6.0.5", can: {} },
  { version: "6.0.6", can: { listPoolsRestricted: true, patchKeepsDescription: true } },
  { version: "6.0.10", can: { listPoolsRestricted: true, patchKeepsDescription: true } },
  { version: "6.16", can: {} },
  { version: "6.17", can: { patchKeepsDescription: true } },
  { version: "6.21", can: { patchKeepsDescription: true, listPoolsRestricted: true } },
  { version: "6.23", can: { patchKeepsDescription: true, listPoolsRestricted: true } },
  { version: "7.0.0", can: { patchKeepsDescription: true, listPoolsRestricted: true, cancelMigration: true } },
  {
    version: "7.0.1",
    can: { patchKeepsDescription: true, listPoolsRestricted: true, cancelMigration: true, zfsNewestCommon: true },
  },
  {
    version: "7.3",
    can: { patchKeepsDescription: true, listPoolsRestricted: true, cancelMigration: true, zfsNewestCommon: true },
  },
  { version: "unknown", can: {} },
  { version: "", can: {} },
];

test.each(versions)("capabilitiesOf() knows what $version does without an extension to tell it", ({ version, can }) => {
  expect(capabilitiesOf(version, [])).toEqual({ ...NONE, ...can });
});

test("capabilitiesOf() goes by the extension where there is one, whatever the version", () => {
  const extensions = ["custom_volume_refresh_exclude_older_snapshots", "storage_volume_full", "direct_backup"];
  const can = { excludeOlder: true, fullVolumes: true, directBackup: true };
  expect(capabilitiesOf("6.0.0", extensions)).toEqual({ ...NONE, ...can });
});

test("missingExtensions() names what a server lacks", () => {
  expect(missingExtensions([...REQUIRED_EXTENSIONS, "more"])).toEqual([]);
  expect(missingExtensions(REQUIRED_EXTENSIONS.slice(1))).toEqual([REQUIRED_EXTENSIONS[0]]);
});
