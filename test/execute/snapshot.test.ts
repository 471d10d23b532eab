import { expect, test } from "vitest";
import { AgentError } from "../../src/model/errors.ts";
import type { InstanceStatus } from "../../src/model/state.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { execute, instance, RUN, snapshotStep } from "./steps.ts";

const web = instance("web1");
const STEP = snapshotStep(web, { stop: true });
const MARK = "user.iab.stopped";

function setUp(
  status: InstanceStatus = "Running",
  more: { ephemeral?: boolean; config?: Record<string, string> } = {},
) {
  const world = memoryWorld();
  const both = memoryServers(world.clock);
  both.source.add(web, { status, ...more });
  const outcome = async () => (await execute([STEP], both, world)).get(STEP.id);
  const verbs = () =>
    both.calls.map((call) => call.split(" ")[1]).filter((verb) => verb !== "instance" && verb !== "isBusy");
  return { world, both, outcome, verbs };
}

test("takeSnapshot() marks, stops, snapshots, starts and unmarks, in this order", async () => {
  const { both, outcome, verbs } = setUp();
  expect(await outcome()).toEqual({ state: "done" });
  expect(verbs()).toEqual(["patchConfig", "stop", "createSnapshot", "start", "patchConfig"]);
  expect(both.source.get(web)).toMatchObject({ status: "Running", config: {} });
  expect(both.source.names(web)).toEqual([RUN]);
});

const still: { status: InstanceStatus; ephemeral?: boolean }[] = [
  { status: "Stopped" },
  { status: "Error" },
  { status: "Frozen" },
  { status: "Running", ephemeral: true },
];
test.each(still)("takeSnapshot() leaves an instance as it is that is $status, ephemeral: $ephemeral", async (given) => {
  const { both, outcome, verbs } = setUp(given.status, given);
  expect(await outcome()).toEqual({ state: "done" });
  expect(verbs()).toEqual(["createSnapshot"]);
  expect(both.source.get(web).status).toBe(given.status);
});

test("takeSnapshot() fails where the instance is changing its state", async () => {
  const { outcome, verbs } = setUp("Other");
  expect(await outcome()).toMatchObject({
    state: "failed",
    error: { message: expect.stringContaining("changing its state") },
  });
  expect(verbs()).toEqual([]);
});

test("takeSnapshot() starts the instance again when its snapshot fails", async () => {
  const { both, outcome } = setUp();
  const refusal = new AgentError("incus.operation-failed", "No space left");
  both.intercept = async (call, effect) => {
    if (call.verb === "createSnapshot") throw refusal;
    effect();
  };
  expect(await outcome()).toEqual({ state: "failed", error: refusal });
  expect(both.source.get(web)).toMatchObject({ status: "Running", config: {} });
});

test("takeSnapshot() starts the instance again when a signal comes while it is stopped", async () => {
  const { world, both, outcome } = setUp();
  both.intercept = async (call, effect) => {
    effect();
    if (call.verb === "stop") world.interrupt("SIGTERM");
  };
  expect(await outcome()).toEqual({ state: "cancelled" });
  expect(both.source.get(web)).toMatchObject({ status: "Running", config: {} });
  expect(both.source.names(web)).toEqual([]);
});

test("takeSnapshot() stops hard what does not stop in time, and says so", async () => {
  const { world, both, outcome, verbs } = setUp("Running", { config: { "boot.host_shutdown_timeout": "7" } });
  both.intercept = async (call, effect) => {
    if (call.verb === "stop") throw new AgentError("incus.operation-failed", "context deadline exceeded");
    effect();
  };
  expect(await outcome()).toEqual({ state: "done" });
  expect(verbs()).toEqual(["patchConfig", "stop", "stop-hard", "createSnapshot", "start", "patchConfig"]);
  expect(world.logged).toContainEqual({
    level: "warn",
    event: "instance.stopped-hard",
    facts: { unit: "default/web1", why: "it did not stop within 7 s" },
  });
});

test("takeSnapshot() waits for a shutdown that goes on by itself, and starts the instance then", async () => {
  const { both, outcome, verbs } = setUp();
  let looks = 0;
  both.intercept = async (call, effect) => {
    const found = both.source.get(web);
    if (call.verb.startsWith("stop")) {
      found.busy = true;
      throw new AgentError("incus.operation-failed", "Instance is busy running a stop operation");
    }
    if (call.verb === "isBusy" && ++looks === 3) Object.assign(found, { busy: false, status: "Stopped" });
    effect();
  };
  expect(await outcome()).toMatchObject({ state: "failed" });
  expect(verbs()).toEqual(["patchConfig", "stop", "stop-hard", "start", "patchConfig"]);
  expect(both.source.get(web)).toMatchObject({ status: "Running", config: {} });
});

test("takeSnapshot() tries again and again to start the instance, and fails loudly in the end, leaving its mark", async () => {
  const { both, outcome, verbs } = setUp();
  both.intercept = async (call, effect) => {
    if (call.verb === "start") throw new AgentError("incus.operation-failed", "No such device br0");
    effect();
  };
  expect(await outcome()).toMatchObject({
    state: "failed",
    error: {
      code: "instance.down",
      message: "Cannot start web1 again after its snapshot: No such device br0",
      hint: "start it by hand (incus start web1 --project default); the next run tries it too",
    },
  });
  expect(verbs().filter((verb) => verb === "start")).toHaveLength(5);
  expect(both.source.get(web)).toMatchObject({ status: "Stopped", config: { [MARK]: RUN } });
});

test("takeSnapshot() reports an instance that stays down even when the run was cancelled", async () => {
  const { world, both, outcome } = setUp();
  both.intercept = async (call, effect) => {
    if (call.verb === "start") throw new AgentError("incus.operation-failed", "No such device br0");
    effect();
    if (call.verb === "stop") world.interrupt("SIGTERM");
  };
  expect(await outcome()).toMatchObject({ state: "failed", error: { code: "instance.down" } });
});

test("takeSnapshot() keeps two snapshots of a unit out of one second", async () => {
  const { world, both } = setUp("Stopped");
  const notBefore = world.clock.now() + 1500;
  await execute([snapshotStep(web, { notBefore })], both, world);
  expect(both.source.get(web).snapshots[0]?.createdAt).toBeGreaterThanOrEqual(notBefore - 1000);
  expect(world.clock.now()).toBe(notBefore);
});

test("startAgain() starts what an earlier run left stopped, before any snapshot, and leaves a frozen one frozen", async () => {
  const recover = { kind: "recover", id: "recover:default/web1", needs: [], workload: web, unit: web } as const;
  const { world, both, verbs } = setUp("Stopped", { config: { [MARK]: "IAB_20261119-040000" } });
  await execute([STEP, recover], both, world);
  expect(verbs()).toEqual(["start", "patchConfig", "patchConfig", "stop", "createSnapshot", "start", "patchConfig"]);
  const frozen = setUp("Frozen", { config: { [MARK]: "IAB_20261119-040000" } });
  await execute([recover], frozen.both, frozen.world);
  expect(frozen.both.source.get(web)).toMatchObject({ status: "Frozen", config: {} });
});
