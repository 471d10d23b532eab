import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { z } from "zod";
import { iab } from "./iab.ts";

test("iab schema prints a JSON Schema that names every key", async () => {
  const { exitCode, stdout, stderr } = await iab(["schema"]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  const schema = JSON.parse(stdout);
  expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
  expect(schema.additionalProperties).toBe(false);
  expect(Object.keys(schema.properties)).toEqual(["$schema", "iab", "hosts", "projects", "retention", "offsite"]);
  await expect(stdout).toMatchFileSnapshot("../golden/config.schema.json");
});

test("iab schema accepts the example, and not one with an unknown key", async () => {
  const { stdout } = await iab(["schema"]);
  const schema = z.fromJSONSchema(JSON.parse(stdout));
  const example = JSON.parse(readFileSync("config.json.example", "utf8"));
  expect(schema.safeParse(example).error).toBeUndefined();
  expect(schema.safeParse({ ...example, hostz: [] }).success).toBe(false);
});

test("iab schema prints YAML when asked to, and refuses what it cannot be", async () => {
  expect((await iab(["schema", "-f", "yaml"])).stdout).toContain("title: Configuration of incus-autobackup");
  expect(await iab(["schema", "-f", "csv"])).toMatchObject({ exitCode: 2, stdout: "" });
});
