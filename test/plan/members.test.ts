import { expect, test } from "vitest";
import type { Instance, Member, Volume } from "../../src/model/state.ts";
import { takeStock } from "../../src/plan/take-stock.ts";
import {
  instance,
  job,
  NOW,
  own,
  plan,
  replicaOf,
  type ServerSeed,
  stateOf,
  volume,
  volumeJob,
  volumeReplicaOf,
} from "./fixtures.ts";

const HISTORY = [own(48), own(24)];
const WEB1 = instance("web1", { snapshots: HISTORY });
const DATA = volume("data", { snapshots: HISTORY });
const DISK = { data: { type: "disk", pool: "default", source: "data", path: "/srv" } };
const ROOT = { root: { type: "disk", path: "/", pool: "default" } };
const USER = instance("web1", { snapshots: HISTORY, devices: { ...ROOT, ...DISK } });

function member(name: string, more: Partial<Member> = {}): Member {
  return { name, status: "Online", groups: ["default"], ...more };
}

const TWO = [member("one", { groups: ["default", "slow"] }), member("two", { groups: ["default", "fast"] })];

/** A cluster with the given members. */
function cluster(seed: ServerSeed = {}, members: readonly Member[] = TWO): ServerSeed {
  return { members, facts: { clustered: true }, ...seed };
}

/** On which member each workload is to be written, by its id. */
function memberships(made: ReturnType<typeof plan>): Record<string, string | undefined> {
  const copies = made.steps.flatMap((step) => (step.kind === "copy" || step.kind === "reseed" ? [step] : []));
  return Object.fromEntries(copies.map(({ id, copy }) => [id, copy.member]));
}

const jobs = { web1: job("web1"), data: volumeJob("data") };

test("makePlan() makes a new replica on the member that is wished for, and lets Incus choose without a wish", () => {
  const on = (targetMember: string | undefined) =>
    memberships(plan([job("web1", { targetMember })], stateOf({ instances: [WEB1] }, cluster())))["copy:default/web1"];
  expect([on("two"), on("@fast"), on(undefined)]).toEqual(["two", "@fast", undefined]);
});

test("makePlan() refreshes and reseeds a replica on the member that holds it, wherever new ones go", () => {
  const instances = [replicaOf(WEB1, { location: "two" })];
  const state = stateOf({ instances: [WEB1] }, cluster({ instances }));
  const wishing = [job("web1", { targetMember: "one" })];
  expect(memberships(plan(wishing, state))).toEqual({ "copy:default/web1": "two" });
  expect(memberships(plan(wishing, state, { reseed: ["web1"] }))).toEqual({ "reseed:default/web1": "two" });
});

test("makePlan() chooses the member for a volume itself where a group is wished for: Incus takes no group there", () => {
  const group = [volumeJob("data", { targetMember: "@fast" })];
  expect(memberships(plan(group, stateOf({ volumes: [DATA] }, cluster())))).toEqual({
    "copy:default/default/data": "two",
  });
});

const parties: readonly { name: string; wish?: string; there?: ServerSeed; on: string | undefined }[] = [
  { name: "the emptiest", there: { instances: [instance("other", { location: "one" })] }, on: "two" },
  { name: "the one that is wished for", wish: "two", on: "two" },
  { name: "one of the group", wish: "@fast", on: "two" },
  {
    name: "where the volume's replica is",
    wish: "one",
    there: { volumes: [volumeReplicaOf(DATA, { location: "two" })] },
    on: "two",
  },
];

for (const { name, wish, there, on } of parties) {
  test(`makePlan() puts an instance and the volume that it uses on one member: ${name}`, () => {
    const both = [job("web1", { targetMember: wish }), jobs.data];
    const made = plan(both, stateOf({ instances: [USER], volumes: [DATA] }, cluster(there)));
    expect(memberships(made)).toEqual({ "copy:default/web1": on, "copy:default/default/data": on });
    const elsewhere = made.warnings.filter(({ code }) => code === "member.differs");
    expect(elsewhere).toHaveLength(wish === "one" ? 1 : 0);
  });
}

test("makePlan() leaves out a device whose volume is on another member than the replica", () => {
  const seed = {
    instances: [],
    volumes: [volumeReplicaOf(DATA, { location: "one" }), volume("more", { location: "two" })],
  };
  const more = { more: { type: "disk", pool: "default", source: "more", path: "/more" } };
  const user = instance("web1", { snapshots: HISTORY, devices: { ...ROOT, ...DISK, ...more } });
  const made = plan([jobs.web1, jobs.data], stateOf({ instances: [user], volumes: [DATA] }, cluster(seed)));
  expect(memberships(made)["copy:default/web1"]).toBe("one");
  expect(made.warnings.map(({ text }) => text)).toEqual([
    "The replica of web1 is made without device more (disk): its volume is on member two, the replica on one",
  ]);
});

test("makePlan() says where there is no cluster that a member is ignored", () => {
  const made = plan([job("web1", { targetMember: "two" })], stateOf({ instances: [WEB1] }));
  expect(memberships(made)).toEqual({ "copy:default/web1": undefined });
  expect(made.warnings).toMatchObject([{ code: "member.ignored" }]);
});

const AWAY = [member("one"), member("two", { status: "Offline" })];
/** As a server lists what it cannot ask a member for. */
const UNREAD: Partial<Instance> = { status: "Error", devices: {}, location: "two" };

const waiting: readonly { name: string; source?: ServerSeed; target?: ServerSeed; why: string; wish?: string }[] = [
  {
    name: "an instance whose member is offline",
    source: cluster({ instances: [instance("web1", UNREAD)] }, AWAY),
    why: "it is on member two of prod, which is offline",
  },
  {
    name: "an instance whose member does not answer yet",
    source: cluster({ instances: [instance("web1", UNREAD)] }),
    why: "it is on member two of prod, which does not answer",
  },
  {
    name: "a replica whose member is offline",
    target: cluster({ instances: [instance("web1", UNREAD)] }, AWAY),
    why: "its replica web1 is on member two of backup, which is offline",
  },
  {
    name: "a replica that is to go to a member that is offline",
    target: cluster({}, AWAY),
    wish: "two",
    why: "member two of backup, where it is to go, is offline",
  },
  { name: "a replica that is to go to no member", target: cluster(), wish: "three", why: "backup has no member three" },
  {
    name: "a replica that is to go to a group without members",
    target: cluster({}, AWAY),
    wish: "@fast",
    why: "backup has no member online in the group fast",
  },
];

for (const { name, source = { instances: [WEB1] }, target, wish, why } of waiting) {
  test(`makePlan() does nothing for ${name}, and says so`, () => {
    const made = plan([job("web1", { keep: "1", targetMember: wish })], stateOf(source, target), { reseed: ["web1"] });
    expect(made.steps).toEqual([]);
    expect(made.skipped).toMatchObject([{ failed: true, why }]);
  });
}

test("makePlan() does nothing for a volume whose replica's member is offline, whatever snapshots it shows", () => {
  const target = cluster({ volumes: [volumeReplicaOf(DATA, { location: "two", snapshots: [] })] }, AWAY);
  const made = plan([volumeJob("data", { keep: "1" })], stateOf({ volumes: [DATA] }, target));
  expect(made.steps).toEqual([]);
  expect(made.skipped).toMatchObject([
    { why: "its replica default/data is on member two of backup, which is offline" },
  ]);
});

test("makePlan() and takeStock() do not take kept history for lost whose member cannot be asked", () => {
  const config = { "user.iab.kept": JSON.stringify([own(300).name]) };
  const replica = volumeReplicaOf(DATA, { location: "two", snapshots: [], config });
  const keeping = [volumeJob("data", { mode: "relay", history: "keep" })];
  const seen = (members: readonly Member[]) => {
    const state = stateOf({ volumes: [DATA] }, cluster({ volumes: [replica] }, members));
    const lost = takeStock(keeping, state, NOW).rows.flatMap((row) => row.lost);
    return [plan(keeping, state).warnings.map(({ code }) => code), lost];
  };
  expect(seen(AWAY)).toEqual([[], []]);
  expect(seen(TWO)).toEqual([["history.lost"], [own(300).name]]);
});

test("takeStock() says that nobody can tell what a member holds that is away, whatever is listed of it", () => {
  const nothing = { exists: true, newest: undefined, proven: undefined, lagMs: undefined, own: 0 };
  const onTwo = cluster({ volumes: [volumeReplicaOf(DATA, { location: "two" })] }, AWAY);
  const [source, target] = takeStock([volumeJob("data")], stateOf({ volumes: [DATA] }, onTwo), NOW).rows;
  expect(source).toMatchObject({ unknown: undefined, newest: { name: own(24).name }, own: 2 });
  expect(target).toMatchObject({ ...nothing, unknown: "member two is offline" });
  const silent = cluster({ instances: [instance("web1", UNREAD)] });
  const [read] = takeStock([job("web1")], stateOf(silent, { instances: [replicaOf(WEB1)] }), NOW).rows;
  expect(read).toMatchObject({ ...nothing, side: "source", unknown: "member two does not answer" });
});

test("makePlan() does nothing for a volume on a member that does not answer, as an instance beside it shows", () => {
  const seed = { instances: [instance("other", UNREAD)], volumes: [volumeReplicaOf(DATA, { location: "two" })] };
  const made = plan([volumeJob("data", { keep: "1" })], stateOf({ volumes: [DATA] }, cluster(seed)));
  expect(made.steps).toEqual([]);
  expect(made.skipped).toMatchObject([
    { why: "its replica default/data is on member two of backup, which does not answer" },
  ]);
});

test("makePlan() does nothing for a volume that several members have under one name, on either side", () => {
  const both = (one: Volume): ServerSeed =>
    cluster({
      volumes: [
        { ...one, location: "one" },
        { ...one, location: "two" },
      ],
    });
  const onSource = plan([jobs.data], stateOf(both(DATA)));
  const onTarget = plan([jobs.data], stateOf({ volumes: [DATA] }, both(volumeReplicaOf(DATA))));
  for (const [made, host] of [
    [onSource, "prod"],
    [onTarget, "backup"],
  ] as const) {
    expect(made.steps).toEqual([]);
    expect(made.skipped).toMatchObject([
      { failed: true, why: `one and two of ${host} each have a volume default/data` },
    ]);
  }
});
