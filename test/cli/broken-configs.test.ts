import { expect, test } from "vitest";
import { brokenConfigs } from "../config/broken-configs.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { iab } from "./iab.ts";

/** A run tells the services that the configuration names, which are none of this machine's. */
const NAMES_A_SERVICE = /https:[^"]*hunter2/;

test.each(Object.keys(brokenConfigs))("iab ends with 4 before it speaks to a server, for %s", async (name) => {
  const text = brokenConfigs[name] ?? "";
  const run = NAMES_A_SERVICE.test(text) ? [] : [["run"]];
  for (const command of [...run, ["plan"], ["retention", "explain", "3", "--from", "source", "web1"]]) {
    const world = memoryWorld({ files: { "./config.json": text } });
    const both = memoryServers(world.clock);
    const { exitCode, stdout, stderr } = await iab(command, world, both);
    expect([exitCode, stdout, both.calls]).toEqual([4, "", []]);
    expect(stderr).toMatch(/^iab: Cannot use the configuration:\n {2}\S/);
    expect(stderr + JSON.stringify(world.logged)).not.toContain("hunter2");
    expect([...world.texts]).toEqual([["./config.json", text]]);
  }
});
