import { expect, test } from "vitest";
import {
  copied,
  instance,
  job,
  own,
  plan,
  replicaOf,
  stateOf,
  volume,
  volumeJob,
  volumeReplicaOf,
} from "./fixtures.ts";

test("makePlan() decides 200 workloads of 200 snapshots in well under a second", () => {
  const snapshots = Array.from({ length: 200 }, (_, at) => own(200 - at));
  const disk = (name: string) => ({ type: "disk", pool: "default", source: name, path: "/data" });
  const numbers = Array.from({ length: 100 }, (_, at) => String(at));
  const instances = numbers.map((at) =>
    instance(`web${at}`, {
      snapshots,
      devices: { root: { type: "disk", path: "/", pool: "default" }, data: disk(`data${at}`) },
    }),
  );
  const volumes = numbers.map((at) => volume(`data${at}`, { snapshots }));
  const state = stateOf(
    { instances, volumes },
    {
      instances: instances.map((each) => replicaOf(each, { snapshots: copied(snapshots) })),
      volumes: volumes.map((each) => volumeReplicaOf(each)),
    },
  );
  const jobs = [job("*", { keep: "6,1h1d,1d7d" }), volumeJob("*", { keep: "6,1h1d,1d7d" })];
  // Time on the processor: other programs of a busy machine are not to blame on the plan.
  const began = process.cpuUsage();
  const made = plan(jobs, state);
  const tookMs = process.cpuUsage(began).user / 1000;
  expect(made.steps).toHaveLength(800);
  expect(tookMs).toBeLessThan(600);
});
