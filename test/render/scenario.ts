import { AgentError } from "../../src/model/errors.ts";
import type { Outcome, Report } from "../../src/model/outcome.ts";
import type { Plan } from "../../src/model/plan.ts";
import { MINUTE_MS } from "../../src/model/time.ts";
import {
  copied,
  instance,
  job,
  NOW,
  named,
  own,
  plan,
  replicaOf,
  stateOf,
  volume,
  volumeJob,
  volumeReplicaOf,
} from "../plan/fixtures.ts";

const HISTORY = [own(72), own(48), own(24)];
const ROOT = { type: "disk", path: "/", pool: "default" };
const DATA = { type: "disk", pool: "default", source: "data", path: "/data" };

const web1 = instance("web1", {
  status: "Running",
  snapshots: HISTORY,
  profiles: ["default", "big"],
  devices: {
    root: ROOT,
    eth0: { type: "nic", network: "br1" },
    data: DATA,
    host: { type: "disk", source: "/srv", path: "/srv" },
  },
});
const db1 = instance("db1", {
  status: "Running",
  snapshots: [named("before-upgrade", 100), ...HISTORY],
  config: { "user.iab.stopped": "IAB_20261119-040000" },
});
const old1 = instance("old1", { snapshots: HISTORY });
const gap1 = instance("gap1", { snapshots: HISTORY });
const moved1 = instance("moved1", { snapshots: [own(24)] });
const big = { project: "default", name: "big", config: { "limits.memory": "8GiB" }, devices: {} };
const data = volume("data", { snapshots: HISTORY, config: { size: "20GiB" } });

/** A run in which nearly everything occurs that a plan can hold. */
export function eventfulPlan(): Plan {
  return plan(
    [
      volumeJob("data", { keep: "2" }),
      job("web1"),
      job("db1", { keep: "1h1d,1d2d", keepOnTarget: "2", stop: true }),
      job("old1"),
      job("gap1"),
      job("moved1"),
      job("nowhere"),
      job("none-*"),
    ],
    stateOf(
      { instances: [web1, db1, old1, gap1, moved1], volumes: [data], profiles: [big] },
      {
        profiles: [{ ...big, name: "default", config: {} }],
        instances: [
          replicaOf(db1, { config: { "user.iab.source": "prod:default/db1" } }),
          instance("old1", { snapshots: copied(HISTORY.slice(0, 2)) }),
          replicaOf(gap1, { snapshots: copied([own(72), own(24)]) }),
          replicaOf(moved1, { snapshots: copied([own(96), own(24)]) }),
        ],
        volumes: [volumeReplicaOf(data, { config: { size: "10GiB" }, snapshots: [own(96), ...HISTORY] })],
      },
    ),
    { reseed: ["moved1"] },
  );
}

/** The same run, ended with some failures. */
export function eventfulReport(): Report {
  const made = eventfulPlan();
  const outcomes = new Map<string, Outcome>(made.steps.map(({ id }) => [id, { state: "done" }]));
  outcomes.set("copy:default/default/data", { state: "done", bytes: 12_345_678 });
  outcomes.set("prune-source:default/default/data", { state: "done", removed: [own(72).name] });
  outcomes.set("copy:default/web1", {
    state: "failed",
    error: new AgentError("incus.unreachable", "Cannot reach backup: connection refused", {
      hint: "Check the network",
    }),
  });
  outcomes.set("snapshot:default/old1", { state: "failed", error: new TypeError("x is undefined") });
  outcomes.set("copy:default/old1", { state: "skipped", because: "snapshot:default/old1" });
  outcomes.set("reseed:default/moved1", { state: "cancelled" });
  return { plan: made, outcomes, startedAt: NOW, endedAt: NOW + 3.5 * MINUTE_MS, exitCode: 3 };
}
