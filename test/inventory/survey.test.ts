import { expect, test } from "vitest";
import { survey } from "../../src/inventory/survey.ts";
import { instance, volume } from "../execute/steps.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { job, volumeJob } from "../plan/fixtures.ts";

test("survey() finds all of both servers with as many calls for one workload as for a hundred", async ({ signal }) => {
  const world = memoryWorld();
  const both = memoryServers(world.clock);
  await survey([], both.servers, signal);
  const callsWhenEmpty = both.calls.splice(0).sort();
  for (let number = 0; number < 100; number += 1) {
    both.source.add(instance(`web${number}`));
    both.target.add(volume(`data${number}`));
  }
  const state = await survey([], both.servers, signal);
  expect(state.source.instances).toHaveLength(100);
  expect(state.target.volumes).toHaveLength(100);
  expect(state.source.facts.host).toBe("prod");
  expect(both.calls.sort()).toEqual(callsWhenEmpty);
});

test("survey() fails as a whole where a server does not answer", async ({ signal }) => {
  const world = memoryWorld();
  const both = memoryServers(world.clock);
  both.intercept = async (call, effect) => {
    if (call.verb === "volumes" && call.side === "target") throw new Error("no answer");
    effect();
  };
  await expect(survey([], both.servers, signal)).rejects.toThrow("no answer");
});

test("survey() asks the target for the pools of the configuration and for those that the source has", async ({
  signal,
}) => {
  const both = memoryServers(memoryWorld().clock);
  const asked: Record<string, readonly string[]> = {};
  const watched = (side: "source" | "target") => ({
    ...both.servers[side],
    pools: (likely: readonly string[], under: AbortSignal) => {
      asked[side] = likely;
      return both.servers[side].pools(likely, under);
    },
  });
  const jobs = [volumeJob("data"), job("web1", { rootPool: "fast" })];
  await survey(jobs, { source: watched("source"), target: watched("target") }, signal);
  expect(asked).toEqual({ source: ["default"], target: ["default", "fast", "local"] });
});

test("survey() looks at the root volume of what keeps history and bears no mark of ours, and of nothing else", async ({
  signal,
}) => {
  const both = memoryServers(memoryWorld().clock);
  const rootConfig = { "user.iab.kept": "[]" };
  for (const name of ["bare", "marked", "never-ours"]) {
    const unit = instance(name);
    both.target.add(unit, { rootConfig, config: name === "marked" ? { "user.iab.source": "prod:default/web1" } : {} });
    if (name !== "never-ours") both.target.snapshot(unit, "IAB_20261120-040000");
  }
  const asked = () => both.calls.splice(0).filter((call) => call.includes("rootConfig"));
  await survey([job("web1")], both.servers, signal);
  expect(asked()).toEqual([]);
  const { target } = await survey([job("web1", { history: "keep", mode: "relay" })], both.servers, signal);
  expect(asked()).toEqual(["target rootConfig default/bare"]);
  expect(target.instances.map((each) => each.rootConfig)).toEqual([rootConfig, undefined, undefined]);
});

test("survey() looks for halves of snapshots where a run has not got its copy through, and nowhere else", async ({
  signal,
}) => {
  const both = memoryServers(memoryWorld().clock);
  const [proven, cut] = ["IAB_20261119-040000", "IAB_20261120-040000"];
  for (const [name, last] of Object.entries({ whole: cut, cut: proven, never: "" })) {
    const unit = instance(name);
    both.source.add(unit);
    both.target.add(unit, {
      config: { "user.iab.source": `prod:default/${name}`, "user.iab.last": last },
      halves: [cut],
    });
    // The older one is on the source alone too, where the target keeps less.
    for (const snapshot of ["IAB_20261118-040000", proven, cut, "by-hand"]) both.source.snapshot(unit, snapshot);
    both.target.snapshot(unit, name === "whole" ? cut : proven);
  }
  const { target } = await survey([], both.servers, signal);
  expect(both.calls.filter((call) => call.includes("halfSnapshots")).sort()).toEqual([
    "target halfSnapshots default/cut",
    "target halfSnapshots default/never",
  ]);
  expect(target.instances.map(({ name, halfSnapshots }) => [name, halfSnapshots])).toEqual([
    ["whole", undefined],
    ["cut", [cut]],
    ["never", [cut]],
  ]);
});
