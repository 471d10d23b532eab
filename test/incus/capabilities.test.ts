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
  tellLateSuccess: false,
  repairsHalves: false,
  zfsNewestCommon: false,
};

const FROM_6_13 = { tellLateSuccess: true };
const FROM_6_17 = { ...FROM_6_13, patchKeepsDescription: true };
const FROM_6_21 = { ...FROM_6_17, listPoolsRestricted: true };
const FROM_7_0 = { ...FROM_6_21, cancelMigration: true };
const FROM_7_0_1 = { ...FROM_7_0, zfsNewestCommon: true };
const FROM_7_0_2 = { ...FROM_7_0_1, repairsHalves: true };

const versions: { version: string; can: Partial<Capabilities> }[] = [
  { version: "6.0.0", can: {} },
  { version: "6.0.4", can: {} },
  { version: "6.0.5", can: { tellLateSuccess: true } },
  { version: "6.0.6", can: FROM_6_21 },
  { version: "6.0.10", can: FROM_6_21 },
  { version: "6.12", can: {} },
  { version: "6.13", can: FROM_6_13 },
  { version: "6.16", can: FROM_6_13 },
  { version: "6.17", can: FROM_6_17 },
  { version: "6.21", can: FROM_6_21 },
  { version: "6.23", can: FROM_6_21 },
  { version: "7.0.0", can: FROM_7_0 },
  { version: "7.0.1", can: FROM_7_0_1 },
  { version: "7.0.2", can: FROM_7_0_2 },
  { version: "7.4", can: FROM_7_0_2 },
  { version: "7.3", can: FROM_7_0_1 },
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
