import { expect, test } from "vitest";
import type { ReseedStep } from "../../src/model/plan.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { copyOf, execute, instance, RUN, volume } from "./steps.ts";

const data = volume("data");
const fresh = volume("data-fresh");
const web = instance("web1");
const DISK = { type: "disk", pool: "local", source: "data", path: "/data" };
const STEP: ReseedStep = {
  kind: "reseed",
  id: "reseed:default/local/data",
  needs: [],
  workload: data,
  copy: copyOf(data, fresh),
  why: "asked for",
  replaces: data,
  aside: "data-aside",
  keeps: false,
  proof: [RUN],
  marks: { "user.iab.last": RUN },
};

function setUp() {
  const world = memoryWorld();
  const both = memoryServers(world.clock);
  both.source.add(data, { content: "right" });
  both.source.snapshot(data, RUN);
  both.target.add(data, { content: "old" });
  both.target.add(web, { devices: { data: DISK } });
  const outcome = async (step = STEP) => (await execute([step], both, world)).get(step.id);
  return { world, both, outcome };
}

test("reseed() puts a proven fresh copy in the old one's place, its users stay with it, and the old one goes", async () => {
  const { both, outcome } = setUp();
  expect(await outcome()).toEqual({ state: "done", bytes: 20 });
  expect([...both.target.units.keys()].sort()).toEqual(["default/local/data", "default/web1"]);
  expect(both.target.get(data)).toMatchObject({ content: "right", config: { "user.iab.last": RUN } });
  expect(both.target.get(web).devices).toEqual({ data: DISK });
});

test("reseed() keeps the old one under another name where the plan says so", async () => {
  const { both, outcome } = setUp();
  await outcome({ ...STEP, aside: "data-before", keeps: true });
  expect(both.target.get(volume("data-before")).content).toBe("old");
  expect(both.target.get(data).content).toBe("right");
});

test("reseed() leaves the old one alone where the fresh copy is not proven", async () => {
  const { both, outcome } = setUp();
  expect(await outcome({ ...STEP, proof: [RUN, "IAB_20261119-040000"] })).toMatchObject({
    state: "failed",
    error: { code: "copy.unproven" },
  });
  expect(both.target.get(data).content).toBe("old");
});

test("reseed() puts the old one back where the fresh one cannot take its name", async () => {
  const { both, outcome } = setUp();
  both.intercept = async (call, effect) => {
    if (call.verb === "rename" && call.unit === "default/local/data-fresh") throw new Error("busy");
    effect();
  };
  expect(await outcome()).toMatchObject({
    state: "failed",
    error: {
      message: "Cannot give local/data-fresh the name of local/data: busy",
      hint: "the old replica is back in its place",
    },
  });
  expect(both.target.get(data).content).toBe("old");
  expect(both.target.get(web).devices).toEqual({ data: DISK });
});

test("reseed() goes through to the end once it has begun to replace", async () => {
  const { world, both, outcome } = setUp();
  both.intercept = async (call, effect) => {
    effect();
    if (call.verb === "rename") world.interrupt("SIGTERM");
  };
  expect(await outcome()).toEqual({ state: "done", bytes: 20 });
  expect(both.target.get(data).content).toBe("right");
});
