import { expect, test } from "vitest";
import { findConfig } from "../../src/cli/find-config.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";

const all = { "./config.json": "", "/etc/iab/config.json": "" };
const etc = { "/etc/iab/config.json": "" };
const environment = { IAB_CONFIG: "/srv/iab.json" };

const cases: {
  name: string;
  given?: string;
  files: Record<string, string>;
  environment?: Record<string, string>;
  found: string;
}[] = [
  { name: "what was asked for, there or not", given: "mine.json", files: all, environment, found: "mine.json" },
  { name: "the one in this folder", files: all, environment, found: "./config.json" },
  { name: "what the environment names, there or not", files: etc, environment, found: "/srv/iab.json" },
  {
    name: "the machine's where the variable is empty",
    files: etc,
    environment: { IAB_CONFIG: "" },
    found: "/etc/iab/config.json",
  },
];

test.each(cases)("findConfig() takes $name", async ({ given, files, environment: variables, found }) => {
  const world = memoryWorld({ files, environment: variables ?? {} });
  expect(await findConfig(given, world)).toBe(found);
});

test("findConfig() says where it looked", async () => {
  await expect(findConfig(undefined, memoryWorld())).rejects.toMatchObject({
    code: "config.invalid",
    message: "Cannot find a configuration: no ./config.json, no /etc/iab/config.json",
  });
});
