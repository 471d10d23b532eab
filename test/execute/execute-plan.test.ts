import { expect, test } from "vitest";
import type { Observer } from "../../src/execute/execute-plan.ts";
import { AgentError } from "../../src/model/errors.ts";
import type { Outcomes } from "../../src/model/outcome.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { copyStep, execute, instance, pruneStep, RUN, snapshotStep, volume } from "./steps.ts";

const OLD = "IAB_20261119-040000";
const web = instance("web1");
const db = instance("db1");
const data = volume("data");

function setUp() {
  const world = memoryWorld();
  const both = memoryServers(world.clock);
  for (const unit of [web, db, data]) both.source.add(unit);
  return { world, both };
}

const states = (outcomes: Outcomes) => Object.fromEntries([...outcomes].map(([id, { state }]) => [id, state]));
const moved = (calls: readonly string[]) => calls.filter((call) => / (createSnapshot|copy|deleteSnapshot) /.test(call));

test("executePlan() takes all snapshots before it sends anything, and notes what is proven on the replica", async () => {
  const { world, both } = setUp();
  const steps = [copyStep(data), copyStep(web), snapshotStep(web), snapshotStep(data)];
  const outcomes = await execute(steps, both, world);
  expect(states(outcomes)).toEqual({
    "copy:default/local/data": "done",
    "copy:default/web1": "done",
    "snapshot:default/web1": "done",
    "snapshot:default/local/data": "done",
  });
  expect(moved(both.calls).map((call) => call.split(" ")[1])).toEqual([
    "createSnapshot",
    "createSnapshot",
    "copy",
    "copy",
  ]);
  expect(both.target.get(web).config).toEqual({ "user.iab.source": "s", "user.iab.last": RUN });
  expect(outcomes.get("copy:default/web1")).toEqual({ state: "done", bytes: 20 });
});

test("executePlan() tells of how much a first copy will be, where the source knows, and of no later one", async () => {
  const { world, both } = setUp();
  for (const unit of [web, db]) both.source.get(unit).usage = 1000;
  const told = new Map<string, number | undefined>();
  const observer: Observer = {
    began: () => {},
    progressed: ({ id }, { totalBytes }) => told.set(id, totalBytes),
    ended: () => {},
  };
  const units = [web, db, data];
  const copies = [copyStep(web), copyStep(db, { base: OLD }), copyStep(data)];
  await execute([...units.map((unit) => snapshotStep(unit)), ...copies], both, world, { observer });
  expect(Object.fromEntries(told)).toEqual({
    "copy:default/web1": 1000,
    "copy:default/db1": undefined,
    "copy:default/local/data": undefined,
  });
});

test("executePlan() warns of an operation that a copy leaves behind on the source", async () => {
  const { world, both } = setUp();
  both.lingering = "0c17";
  const outcomes = await execute([snapshotStep(data), copyStep(data)], both, world);
  expect(outcomes.get("copy:default/local/data")).toEqual({ state: "done", bytes: 20 });
  expect(world.logged).toContainEqual({
    level: "warn",
    event: "operation.lingers",
    facts: expect.objectContaining({ unit: "default/local/data", operation: "0c17" }),
  });
});

test("executePlan() stops only what needs a failed step", async () => {
  const { world, both } = setUp();
  const refusal = new AgentError("incus.operation-failed", "No space left");
  both.intercept = async (call, effect) => {
    if (call.verb === "copy" && call.unit === "default/web1") throw refusal;
    effect();
  };
  const steps = [web, db].flatMap((unit) => [snapshotStep(unit), copyStep(unit), pruneStep("source", unit, [])]);
  const outcomes = await execute(steps, both, world);
  expect(outcomes.get("copy:default/web1")).toEqual({ state: "failed", error: refusal });
  expect(outcomes.get("prune-source:default/web1")).toEqual({ state: "skipped", because: "copy:default/web1" });
  expect(outcomes.get("prune-source:default/db1")?.state).toBe("done");
});

test("executePlan() sends as many at a time as it may, in the plan's order", async () => {
  const { world, both } = setUp();
  const units = [data, web, db];
  let busy = 0;
  let most = 0;
  both.intercept = async (call, effect) => {
    if (call.verb !== "copy") return effect();
    busy += 1;
    most = Math.max(most, busy);
    await new Promise((resolve) => setImmediate(resolve));
    busy -= 1;
    effect();
  };
  const steps = [...units.map((unit) => snapshotStep(unit)), ...units.map((unit) => copyStep(unit))];
  await execute(steps, both, world, { concurrency: 2 });
  expect(most).toBe(2);
  expect(both.calls.filter((call) => call.startsWith("between")).map((call) => call.split(" ")[2])).toEqual([
    "default/local/data",
    "default/web1",
    "default/db1",
  ]);
});

test("executePlan() waits with an instance for the volume it needs, also where the plan lists it later", async () => {
  const { world, both } = setUp();
  const needy = copyStep(web, { needs: ["snapshot:default/web1", "copy:default/local/data"] });
  await execute([needy, snapshotStep(web), copyStep(data), snapshotStep(data)], both, world, { concurrency: 1 });
  const copies = both.calls.filter((call) => call.startsWith("between"));
  expect(copies.map((call) => call.split(" ")[2])).toEqual(["default/local/data", "default/web1"]);
});

test("executePlan() begins no step after a signal, and calls what it ended cancelled", async () => {
  const { world, both } = setUp();
  both.intercept = async (call, effect) => {
    if (call.verb === "copy") {
      world.interrupt("SIGTERM");
      throw new Error("the operation was cancelled");
    }
    effect();
  };
  const steps = [web, db].flatMap((unit) => [snapshotStep(unit), copyStep(unit), pruneStep("source", unit, [])]);
  const outcomes = await execute(steps, both, world, { concurrency: 1 });
  expect(states(outcomes)).toEqual({
    "snapshot:default/web1": "done",
    "snapshot:default/db1": "done",
    "copy:default/web1": "cancelled",
    "copy:default/db1": "cancelled",
    "prune-source:default/web1": "skipped",
    "prune-source:default/db1": "skipped",
  });
  expect(both.calls.filter((call) => call.startsWith("between"))).toHaveLength(1);
});

test("executePlan() tells its observer of every step once, and of a transfer's progress", async () => {
  const { world, both } = setUp();
  const heard: string[] = [];
  const observer = {
    began: ({ id }: { id: string }) => void heard.push(`began ${id}`),
    progressed: ({ id }: { id: string }, { bytes }: { bytes: number }) => void heard.push(`${bytes} ${id}`),
    ended: ({ id }: { id: string }, { state }: { state: string }) => void heard.push(`${state} ${id}`),
  };
  await execute([snapshotStep(web), copyStep(web)], both, world, { observer });
  expect(heard).toEqual([
    "began snapshot:default/web1",
    "done snapshot:default/web1",
    "began copy:default/web1",
    "10 copy:default/web1",
    "done copy:default/web1",
  ]);
});

test("executePlan() calls steps that need each other, or nothing that is there, a bug", async () => {
  const { world, both } = setUp();
  const circle = [copyStep(web, { needs: ["copy:default/db1"] }), copyStep(db, { needs: ["copy:default/web1"] })];
  await expect(execute(circle, both, world)).rejects.toThrow("Steps need each other");
  await expect(execute([copyStep(web)], both, world)).rejects.toThrow("Step snapshot:default/web1 is needed");
});

test("executePlan() sets the size of a replica before its copy, marks one it takes over, and finishes a reseed", async () => {
  const { world, both } = setUp();
  both.target.add(data, { config: { size: "1GiB" } });
  both.target.add(web, { ephemeral: true });
  both.target.add(instance("db1-fresh"));
  const adopt = {
    kind: "adopt",
    id: "adopt:default/web1",
    needs: [],
    workload: web,
    unit: web,
    marks: { "user.iab.source": "s" },
    lasting: web,
  } as const;
  const grow = {
    kind: "grow",
    id: "grow:default/local/data",
    needs: [],
    workload: data,
    unit: data,
    size: "2GiB",
    devices: {},
  } as const;
  const root = { type: "disk", path: "/", pool: "local", size: "3GiB" };
  const growRoot = { ...grow, id: "grow:default/web1", workload: web, unit: web, devices: { root } } as const;
  const rename = {
    kind: "rename",
    id: "rename:default/db1",
    needs: [],
    workload: db,
    unit: instance("db1-fresh"),
    name: "db1",
  } as const;
  const outcomes = await execute([grow, growRoot, adopt, rename], both, world);
  expect(new Set(Object.values(states(outcomes)))).toEqual(new Set(["done"]));
  expect(both.target.get(data).config).toEqual({ size: "2GiB" });
  expect(both.target.get(web).devices).toMatchObject({ root });
  expect(both.target.get(web)).toMatchObject({ config: { "user.iab.source": "s" }, ephemeral: false });
  expect(both.target.units.has("default/db1")).toBe(true);
});

test("executePlan() does not prune what was not proven", async () => {
  const { world, both } = setUp();
  both.source.snapshot(web, OLD);
  world.moveTo(world.clock.now() + 2000);
  both.phantoms = [RUN];
  const steps = [snapshotStep(web), copyStep(web, { proof: [OLD, RUN] }), pruneStep("source", web, [OLD])];
  const outcomes = await execute(steps, both, world);
  expect(outcomes.get("copy:default/web1")).toMatchObject({
    state: "failed",
    error: {
      code: "copy.unproven",
      message: `The copy of web1 is not proven: ${RUN} is listed by the target without data behind it`,
    },
  });
  expect(both.source.names(web)).toEqual([OLD, RUN]);
  expect(both.target.get(web).config["user.iab.last"]).toBeUndefined();
});

test("executePlan() sends before a snapshot what that snapshot has to wait for, and takes the others meanwhile", async () => {
  const { world, both } = setUp();
  const catchUp = copyStep(web, { id: "catch-up:default/web1", needs: [], proof: [], marks: {} });
  const steps = [catchUp, snapshotStep(web, { needs: [catchUp.id] }), snapshotStep(db), copyStep(db), copyStep(web)];
  const outcomes = await execute(steps, both, world);
  expect(new Set(Object.values(states(outcomes)))).toEqual(new Set(["done"]));
  expect(moved(both.calls)).toEqual([
    `source createSnapshot default/db1 ${RUN}`,
    "between copy default/web1 default/web1",
    `source createSnapshot default/web1 ${RUN}`,
    "between copy default/db1 default/db1",
    "between copy default/web1 default/web1",
  ]);
});
