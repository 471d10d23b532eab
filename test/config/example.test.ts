import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configSchema } from "../../src/config/config-schema.ts";
import { jobsOf } from "../../src/config/jobs-of.ts";
import { parseConfig } from "../../src/config/parse-config.ts";

const text = readFileSync("config.json.example", "utf8");

/** Of these one shows for all: another backend, and the other kind of windows, would need another file. */
const INSTEAD = ["fallback_windows", "filesystem", "sftp", "webdav", "b2", "azure", "gcs", "rclone"];

type Node = { properties?: Record<string, Node>; items?: Node; anyOf?: Node[]; additionalProperties?: Node | boolean };

test("config.json.example can be used, and names jobs", () => {
  expect(jobsOf(parseConfig(text), { iosFix: true })).toHaveLength(5);
});

test("config.json.example shows every key there is", () => {
  expect(missingFrom(JSON.parse(text), configSchema(), "")).toEqual([]);
});

/** The keys of the schema that stand nowhere in the values given. */
function missingFrom(value: unknown, node: Node, path: string): string[] {
  const values = (Array.isArray(value) ? value : [value]).filter((one) => typeof one === "object");
  if (node.items) return missingFrom(values, { ...node.items }, path);
  if (node.anyOf) return missingFrom(values, node.anyOf.find(({ items }) => items) ?? {}, path);
  if (typeof node.additionalProperties === "object") {
    const inner = node.additionalProperties;
    return missingFrom(
      values.flatMap((one) => Object.values(one)),
      inner,
      `${path}.*`,
    );
  }
  return Object.entries(node.properties ?? {}).flatMap(([key, below]) => {
    const found = values.filter((one) => key in one).map((one) => one[key]);
    if (found.length === 0) return INSTEAD.includes(key) ? [] : [`${path}.${key}`];
    return missingFrom(found.flat(), below, `${path}.${key}`);
  });
}
