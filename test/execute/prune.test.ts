import { expect, test } from "vitest";
import { AgentError } from "../../src/model/errors.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { execute, instance, pruneStep } from "./steps.ts";

const web = instance("web1");
const NAMES = ["IAB_20261117-040000", "IAB_20261118-040000", "IAB_20261119-040000"] as const;
const [first, second, third] = NAMES;

function setUp() {
  const world = memoryWorld();
  const both = memoryServers(world.clock);
  for (const server of [both.source, both.target]) {
    server.add(web);
    for (const name of NAMES) server.snapshot(web, name);
  }
  return { world, both };
}

test("prune() deletes one after the other in the plan's order", async () => {
  const { world, both } = setUp();
  const step = pruneStep("source", web, [first, second], { needs: [] });
  expect((await execute([step], both, world)).get(step.id)).toEqual({ state: "done", removed: [first, second] });
  expect(both.source.names(web)).toEqual([third]);
  expect(both.target.names(web)).toEqual(NAMES);
});

test("prune() deletes on the target only what the source has really lost", async () => {
  const { world, both } = setUp();
  const source = pruneStep("source", web, [first], { needs: [] });
  const target = pruneStep("target", web, [first, second], { needs: [source.id], onlyIfGoneFrom: web });
  const outcomes = await execute([source, target], both, world);
  expect(outcomes.get(target.id)).toEqual({ state: "done", removed: [first] });
  expect(both.target.names(web)).toEqual([second, third]);
});

test("prune() deletes what it can, names what it could not, and the target then keeps it all", async () => {
  const { world, both } = setUp();
  both.intercept = async (call, effect) => {
    if (call.detail === first) throw new AgentError("incus.operation-failed", "dataset is busy");
    effect();
  };
  const source = pruneStep("source", web, [first, second], { needs: [] });
  const target = pruneStep("target", web, [first, second], { needs: [source.id], onlyIfGoneFrom: web });
  const outcomes = await execute([source, target], both, world);
  expect(outcomes.get(source.id)).toMatchObject({
    state: "failed",
    error: { message: `Cannot delete ${first} of web1 on the source: dataset is busy` },
  });
  expect(both.source.names(web)).toEqual([first, third]);
  expect(both.target.names(web)).toEqual(NAMES);
});

test("prune() is content with what is gone already", async () => {
  const { world, both } = setUp();
  const step = pruneStep("source", web, ["IAB_20261101-040000", second], { needs: [] });
  expect((await execute([step], both, world)).get(step.id)?.state).toBe("done");
  expect(both.source.names(web)).toEqual([first, third]);
});

test("prune() deletes nothing more after a signal", async () => {
  const { world, both } = setUp();
  both.intercept = async (call, effect) => {
    effect();
    if (call.verb === "deleteSnapshot") world.interrupt("SIGTERM");
  };
  const step = pruneStep("source", web, [first, second], { needs: [] });
  expect((await execute([step], both, world)).get(step.id)).toEqual({ state: "cancelled" });
  expect(both.source.names(web)).toEqual([second, third]);
});

test("prune() is content with what the server itself has taken away meanwhile, whatever it says", async () => {
  const { world, both } = setUp();
  both.intercept = async (call, effect) => {
    effect();
    if (call.verb === "deleteSnapshot") throw new AgentError("incus.operation-failed", "Storage volume does not exist");
  };
  const step = pruneStep("source", web, [second], { needs: [] });
  expect((await execute([step], both, world)).get(step.id)).toEqual({ state: "done", removed: [second] });
  expect(both.source.names(web)).toEqual([first, third]);
});
