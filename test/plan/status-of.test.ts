import { expect, test } from "vitest";
import { HOUR_MS } from "../../src/model/time.ts";
import { statusOf } from "../../src/plan/status-of.ts";
import { copied, instance, job, NOW, named, own, RUN, replicaOf, stateOf, volume, volumeJob } from "./fixtures.ts";

const HISTORY = [named("manual", 90), own(48), own(24)];

function status(...[jobs, state]: [Parameters<typeof statusOf>[0], Parameters<typeof statusOf>[1]]) {
  return statusOf(jobs, state, { now: NOW, run: RUN });
}

test("statusOf() tells for both sides what is there, and how old the newest proven copy is", () => {
  const web1 = instance("web1", { snapshots: [...HISTORY, own(1)] });
  const sized = copied(HISTORY).map((snapshot) => ({ ...snapshot, sizeBytes: 100 }));
  const { workloads, hosts, at } = status(
    [job("web1")],
    stateOf({ instances: [web1] }, { instances: [replicaOf(web1, { snapshots: sized })] }),
  );
  expect([hosts, at]).toEqual([{ source: "prod", target: "backup" }, NOW]);
  expect(workloads).toEqual([
    {
      workload: job("web1").source,
      target: job("web1").target,
      state: "ok",
      why: undefined,
      hint: undefined,
      sides: {
        source: { newest: { name: own(1).name, at: own(1).createdAt }, own: 3, foreign: 1, sizeBytes: undefined },
        target: { newest: { name: own(24).name, at: NOW - 24 * HOUR_MS }, own: 2, foreign: 1, sizeBytes: 300 },
      },
      proven: { name: own(24).name, at: NOW - 24 * HOUR_MS },
      lagMs: 24 * HOUR_MS,
    },
  ]);
});

test("statusOf() tells what was never copied, what the next run leaves out, and what is missing", () => {
  const [web1, web2] = [instance("web1", { snapshots: HISTORY }), instance("web2", { snapshots: HISTORY })];
  const running = replicaOf(web2, { status: "Running" });
  const made = status(
    [job("web1"), job("web2"), job("gone")],
    stateOf({ instances: [web1, web2] }, { instances: [running] }),
  );
  expect(made.workloads.map(({ workload, state, why }) => [workload.name, state, why])).toEqual([
    ["web1", "never", undefined],
    ["web2", "blocked", "its replica web2 is not stopped (Running)"],
    ["gone", "blocked", "prod has no such instance"],
  ]);
  expect(made.workloads[1]?.proven?.name).toBe(own(24).name);
});

test("statusOf() takes nothing for proven that is on the target no more", () => {
  const web1 = instance("web1", { snapshots: HISTORY });
  const replica = replicaOf(web1, { config: { "user.iab.last": own(1).name } });
  expect(status([job("web1")], stateOf({ instances: [web1] }, { instances: [replica] })).workloads).toMatchObject([
    { state: "never", proven: undefined, lagMs: undefined },
  ]);
});

test("statusOf() names what no configuration covers, by its address alone", () => {
  const state = stateOf({ instances: [instance("web1"), instance("db1")], volumes: [volume("data"), volume("logs")] });
  expect(status([job("w*"), volumeJob("data")], state).uncovered).toEqual([
    { kind: "instance", project: "default", name: "db1" },
    { kind: "volume", project: "default", pool: "default", name: "logs" },
  ]);
});
