import { expect, test } from "vitest";
import { clearRestore } from "../../src/config/clear-restore.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { configText } from "./sample.ts";

const OFFSITE = { repository_password: "p", backend: { type: "filesystem", filesystem: { path: "/b" } } };

test.each(["4afeed0c", 'odd \\" one', ""])("clearRestore() empties the wish for %j and changes nothing else", (id) => {
  const text = configText({ offsite: { ...OFFSITE, restore_snapshot_id: id } });
  const spaced = text.replace('"restore_snapshot_id":', '"restore_snapshot_id" :\n  ');
  for (const given of [text, spaced]) {
    const cleared = clearRestore(given);
    expect(parseConfig(cleared).offsite?.restoreSnapshotId).toBeUndefined();
    expect(cleared).toBe(given.replace(JSON.stringify(id), '""'));
  }
});

test("clearRestore() of a key that is written otherwise is an error rather than a restore every night", () => {
  const text = configText({ offsite: { ...OFFSITE, restore_snapshot_id: "4afeed0c" } });
  const escaped = text.replace("restore_snapshot_id", "restore\\u005fsnapshot_id");
  expect(() => clearRestore(escaped)).toThrow("Cannot clear offsite.restore_snapshot_id");
});
