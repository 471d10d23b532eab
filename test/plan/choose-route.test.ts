import { expect, test } from "vitest";
import type { Snapshot } from "../../src/model/snapshot.ts";
import type { Instance } from "../../src/model/state.ts";
import type { Orders } from "../../src/plan/orders.ts";
import {
  copied,
  instance,
  job,
  named,
  OLD,
  own,
  plan,
  RUN,
  replicaOf,
  type ServerSeed,
  stateOf,
  volume,
  volumeJob,
  volumeReplicaOf,
} from "./fixtures.ts";

const HISTORY = [own(72), own(48), own(24)];
const web1 = instance("web1", { snapshots: HISTORY, config: { "volatile.uuid": "one" } });
const RESEED = "For a fresh copy that replaces it once it is complete: iab run --reseed web1";

type Case = {
  readonly name: string;
  readonly source?: Partial<Instance>;
  readonly replica: Instance;
  readonly servers?: ServerSeed;
  readonly orders?: Partial<Orders>;
  /** The kinds of steps that are planned, or why there are none. */
  readonly steps?: readonly string[];
  readonly why?: string;
  readonly hint?: string;
};

function target(snapshots: readonly Snapshot[], more: Partial<Instance> = {}): Instance {
  return replicaOf(web1, { snapshots: copied(snapshots), ...more });
}

const unmarked = (snapshots: readonly Snapshot[], more: Partial<Instance> = {}) =>
  instance("web1", { snapshots: copied(snapshots), ...more });
const ofOther = { "user.iab.source": "prod:default/web2" };
const recreated = { "user.iab.source-uuid": "other" };
const refresh = ["snapshot", "copy"];
const adoption = ["snapshot", "adopt", "copy"];

const cases: Case[] = [
  { name: "refreshes a replica of ours", replica: target(HISTORY), steps: refresh },
  { name: "adopts one that IAB 1.2.0 made, without asking", replica: unmarked(HISTORY.slice(0, 2)), steps: adoption },
  {
    name: "does not touch what bears no mark and shares no snapshot",
    replica: unmarked([own(200)]),
    why: "web1 on the target is not a replica of it: no mark of ours, no snapshot in common",
    hint: "Rename or delete it, or give this workload another target",
  },
  {
    name: "does not touch what shares none of ours, unless asked to adopt it",
    source: { snapshots: [named("snap0", 24)] },
    replica: unmarked([named("snap0", 24)]),
    why: "web1 on the target is not a replica of it: no mark of ours, no snapshot in common",
  },
  {
    name: "adopts on demand what shares a snapshot of anybody",
    source: { snapshots: [named("snap0", 24)] },
    replica: unmarked([named("snap0", 24)]),
    orders: { adopt: ["web1"] },
    steps: adoption,
  },
  {
    name: "does not adopt what shares nothing, even on demand",
    replica: unmarked([own(200)]),
    orders: { adopt: ["web1"] },
    why: "web1 on the target is not a replica of it: no mark of ours, no snapshot in common",
  },
  {
    name: "does not touch the replica of another source",
    replica: target(HISTORY, { config: ofOther }),
    why: "web1 on the target is the replica of prod:default/web2, not of prod:default/web1",
    hint: "If it holds the same data: iab run --adopt web1",
  },
  {
    name: "adopts the replica of another source on demand",
    replica: target(HISTORY, { config: ofOther }),
    orders: { adopt: ["web*"] },
    steps: adoption,
  },
  {
    name: "never replaces the replica of another source",
    replica: target(HISTORY, { config: ofOther }),
    orders: { reseed: ["web1"] },
    why: "is the replica of prod:default/web2",
  },
  {
    name: "does not touch the replica of an earlier instance of that name",
    replica: target(HISTORY, { config: recreated }),
    why: "web1 was made anew on the source since its replica was made",
    hint: `If it holds the same data: iab run --adopt web1; ${RESEED}`,
  },
  {
    name: "adopts the replica of an earlier instance on demand",
    replica: target(HISTORY, { config: recreated }),
    orders: { adopt: ["web1"] },
    steps: adoption,
  },
  {
    name: "replaces the replica of an earlier instance on demand",
    replica: target([own(300)], { config: recreated }),
    orders: { reseed: ["web1"] },
    steps: ["snapshot", "reseed"],
  },
  ...(["Running", "Frozen", "Error", "Other"] as const).map((status) => ({
    name: `does not touch a replica in state ${status}`,
    replica: target(HISTORY, { status }),
    why: `its replica web1 is not stopped (${status})`,
  })),
  {
    name: "does not replace a running replica",
    replica: target(HISTORY, { status: "Running" }),
    orders: { reseed: ["web1"] },
    why: "not stopped",
  },
  {
    name: "does not discard what a replica that was started has written",
    replica: target(HISTORY, { config: { "volatile.last_state.power": "STOPPED" } }),
    why: "its replica web1 has been started: a refresh would discard what it has written since",
    hint: "To give that up: iab run --adopt web1",
  },
  {
    name: "takes a started replica back on demand",
    replica: target(HISTORY, { config: { "volatile.last_state.power": "STOPPED" } }),
    orders: { adopt: ["web1"] },
    steps: adoption,
  },
  {
    name: "does not refresh a container from a virtual machine",
    source: { type: "virtual-machine" },
    replica: target(HISTORY),
    why: "web1 on the target is a container, the source a virtual-machine",
  },
  {
    name: "does not refresh where the server would wipe first",
    replica: target([own(200)]),
    why: "no snapshot of web1 on the target is on the source too: a refresh would wipe the replica before anything is sent",
    hint: RESEED,
  },
  {
    name: "does not refresh where files are compared, but everything would be deleted first",
    servers: { driver: "dir" },
    replica: target([own(200)]),
    why: "no snapshot of web1 on the target is on the source too",
  },
  {
    name: "refreshes without any snapshot where files are compared",
    servers: { driver: "dir" },
    replica: target([], { config: { "user.iab.last": RUN } }),
    steps: refresh,
  },
  {
    name: "does not refresh over a proven replica whose snapshots are all gone",
    replica: target([], { config: { "user.iab.last": own(24).name } }),
    why: "web1 on the target has no snapshot",
  },
  { name: "makes a first copy anew that was never completed", replica: target([]), steps: ["snapshot", "reseed"] },
  {
    name: "completes a first copy that was never proven",
    replica: target(HISTORY, { config: { "user.iab.last": "" } }),
    steps: refresh,
  },
  {
    name: "does not refresh over a gap on btrfs",
    replica: target([own(72), own(24)]),
    why: `its replica lacks ${own(48).name}, which the source has: a refresh over such a gap damages it`,
    hint: `${RESEED}. Or delete the same snapshots on the source`,
  },
  {
    name: "does not refresh over a gap on ZFS before 7.0.1",
    servers: { driver: "zfs", facts: { can: OLD } },
    replica: target([own(48), own(24)]),
    why: `its replica lacks ${own(72).name}`,
  },
  {
    name: "refreshes over a gap on ZFS from 7.0.1 on",
    servers: { driver: "zfs" },
    replica: target([own(48), own(24)]),
    steps: refresh,
  },
  {
    name: "refreshes over a gap on dir",
    servers: { driver: "dir" },
    replica: target([own(72), own(24)]),
    steps: refresh,
  },
  {
    name: "does not refresh over a gap where a server does not know refresh_exclude_older",
    servers: { driver: "dir", facts: { can: { ...OLD, excludeOlder: false } } },
    replica: target([own(24)]),
    why: "its replica lacks",
  },
  { name: "sends again what only the target's newest end lacks", replica: target([own(72)]), steps: refresh },
  {
    name: "takes back what no run has proven",
    replica: target(HISTORY, { config: { "user.iab.last": own(48).name } }),
    steps: ["snapshot", "prune", "copy"],
  },
  {
    name: "does not delete what somebody has made on the replica",
    replica: target([...HISTORY], { snapshots: [...copied(HISTORY), named("mine", 2)] }),
    why: "a refresh would delete mine, which somebody has made on the replica",
    hint: "Copy it to an object of its own and delete it from web1 on the target, or use history: keep",
  },
  {
    name: "lets go what the source has let go, whosever it was",
    replica: target([named("before-upgrade", 100), ...HISTORY]),
    steps: refresh,
  },
  {
    name: "does not replace a protected replica",
    replica: target(HISTORY, { expandedConfig: { "security.protection.delete": "true" } }),
    orders: { reseed: ["web1"] },
    why: "its replica web1 is protected and cannot be replaced",
    hint: "On the target: incus config set web1 security.protection.delete=false",
  },
  {
    name: "takes no snapshot twice under one name",
    source: { snapshots: [named(RUN, 0)] },
    replica: target([]),
    why: `the source has a snapshot ${RUN} already`,
  },
];

for (const { name, source = {}, replica, servers = {}, orders = {}, steps = [], why, hint } of cases) {
  test(`makePlan() ${name}`, () => {
    const kept = Object.entries(replica.config).filter(([, value]) => value !== "");
    const there = { ...replica, config: Object.fromEntries(kept) };
    const state = stateOf({ ...servers, instances: [{ ...web1, ...source }] }, { ...servers, instances: [there] });
    const made = plan([job("web1")], state, orders);
    expect(made.steps.map(({ kind }) => kind)).toEqual(steps);
    expect(made.skipped[0]?.why).toEqual(why === undefined ? undefined : expect.stringContaining(why));
    if (hint !== undefined) expect(made.skipped[0]?.hint).toBe(hint);
    expect(made.skipped.every(({ failed }) => failed)).toBe(true);
  });
}

const data = volume("data", { snapshots: HISTORY });
const user = instance("db1", { status: "Running" });
const by = { kind: "instance", project: "default", name: "db1" } as const;

const volumeCases = [
  {
    name: "a volume in use by a running instance",
    replica: volumeReplicaOf(data, { usedBy: [by] }),
    users: [user],
    why: "its replica default/data is in use by db1, which is not stopped",
  },
  {
    name: "a volume in use by who cannot be seen",
    replica: volumeReplicaOf(data, { usedBy: [by] }),
    users: [],
    why: "in use by db1",
  },
  {
    name: "a volume of another content type",
    replica: volumeReplicaOf(data, { contentType: "block" as const }),
    users: [],
    why: "default/data on the target holds block, the source filesystem",
  },
];
for (const { name, replica, users, why } of volumeCases) {
  test(`makePlan() does not refresh ${name}`, () => {
    const state = stateOf({ volumes: [data] }, { volumes: [replica], instances: users });
    expect(plan([volumeJob("data")], state)).toMatchObject({
      steps: [],
      skipped: [{ why: expect.stringContaining(why), failed: true }],
    });
  });
}

test("makePlan() refreshes a volume that a stopped instance uses, and compares its dates in full", () => {
  const state = stateOf(
    { volumes: [data] },
    { volumes: [volumeReplicaOf(data, { usedBy: [by] })], instances: [{ ...user, status: "Stopped" }] },
  );
  expect(plan([volumeJob("data")], state).skipped).toEqual([]);
  const whole = stateOf({ volumes: [data] }, { volumes: [volumeReplicaOf(data, { snapshots: copied(HISTORY) })] });
  expect(plan([volumeJob("data")], whole).skipped[0]?.why).toContain(
    "no snapshot of default/data on the target is on the source",
  );
});

const impossible = [
  {
    name: "the target's project is missing",
    source: web1,
    seed: { projects: [] },
    why: "backup has no project default",
    hint: "incus project create default",
  },
  {
    name: "the target's pool is missing",
    source: web1,
    seed: { pools: [] },
    why: "backup has no storage pool default",
  },
  {
    name: "the target has no virtual machines",
    source: { ...web1, type: "virtual-machine" as const },
    seed: { facts: { instanceTypes: ["container" as const] } },
    why: "backup cannot hold a virtual-machine",
  },
  { name: "there is no root disk", source: { ...web1, expandedDevices: {} }, seed: {}, why: "it has no root disk" },
];
for (const { name, source, seed, why, hint = "" } of impossible) {
  test(`makePlan() leaves a workload out where ${name}`, () => {
    const made = plan([job("web1")], stateOf({ instances: [source] }, seed));
    expect(made).toMatchObject({ steps: [], skipped: [{ why, failed: true }] });
    expect(made.skipped[0]?.hint ?? "").toContain(hint);
  });
}

test("makePlan() tells nothing of a replica that the target is at work on, new or old", () => {
  const web1 = instance("web1", { snapshots: [own(24)] });
  const busy = [{ kind: "instance", project: "default", name: "web1" }] as const;
  for (const instances of [[], [replicaOf(web1)]]) {
    const made = plan([job("web1")], stateOf({ instances: [web1] }, { instances, busy }));
    expect(made.steps).toEqual([]);
    expect(made.skipped).toMatchObject([{ failed: true, why: "the target is at work on its replica web1" }]);
  }
});
