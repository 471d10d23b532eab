import { expect, test } from "vitest";
import type { Instance, Volume } from "../../src/model/state.ts";
import {
  copied,
  instance,
  job,
  named,
  own,
  plan,
  RUN,
  replicaOf,
  stateOf,
  stepOf,
  volume,
  volumeJob,
  volumeReplicaOf,
} from "./fixtures.ts";

const HISTORY = [own(72), own(48), own(24)];

test("makePlan() makes a replica that neither starts nor snapshots by itself, and marks it", () => {
  const config = {
    "boot.autostart": "true",
    "boot.autorestart": "true",
    "cluster.evacuate": "stop",
    "snapshots.schedule": "@daily",
    "snapshots.expiry": "1d",
    "limits.cpu": "2",
    "volatile.base_image": "abc",
    "volatile.uuid": "u-1",
    "volatile.last_state.power": "RUNNING",
    "volatile.eth0.hwaddr": "00:16:3e:00:00:01",
    "user.iab.source": "elsewhere:default/web1",
    "user.iab.stopped": "IAB_20261119-040000",
    "user.mine": "1",
  };
  const web1 = instance("web1", { config, description: "the web", ephemeral: true, status: "Running" });
  const { create } = stepOf(plan([job("web1")], stateOf({ instances: [web1] })), "copy").copy;
  expect(create).toMatchObject({ type: "container", architecture: "x86_64", description: "the web", profiles: [] });
  expect(create.config).toEqual({
    "limits.cpu": "2",
    "volatile.base_image": "abc",
    "user.mine": "1",
    "boot.autostart": "false",
    "user.iab.source": "prod:default/web1",
    "user.iab.source-uuid": "u-1",
  });
});

test("makePlan() keeps a schedule that a profile of the target would bring from a replica, new or taken over", () => {
  const hourly = { project: "default", name: "hourly", config: { "snapshots.schedule": "@hourly" }, devices: {} };
  const web1 = instance("web1", { snapshots: HISTORY, profiles: ["hourly"] });
  const target = { profiles: [hourly] };
  const { create } = stepOf(plan([job("web1")], stateOf({ instances: [web1] }, target)), "copy").copy;
  expect(create.config).toMatchObject({ "snapshots.schedule": "@never" });
  const old = instance("web1", { snapshots: copied(HISTORY), expandedConfig: hourly.config });
  const made = plan([job("web1")], stateOf({ instances: [web1] }, { ...target, instances: [old] }));
  expect(stepOf(made, "adopt").marks).toMatchObject({ "snapshots.schedule": "@never" });
});

test("makePlan() takes off a new replica of a volume what its pool schedules, and leaves one that is there alone", () => {
  const data = volume("data", { snapshots: HISTORY });
  const marksOf = (volumes: readonly Volume[], reseed: readonly string[] = []) =>
    plan([volumeJob("data")], stateOf({ volumes: [data] }, { volumes }), { reseed }).steps.flatMap((step) =>
      step.kind === "copy" || step.kind === "reseed" ? [step.marks["snapshots.schedule"]] : [],
    );
  const replica = volumeReplicaOf(data);
  expect([marksOf([]), marksOf([replica]), marksOf([replica], ["default/data"])]).toEqual([[""], [undefined], [""]]);
});

test("makePlan() makes a volume's replica of its content type, without schedules and what its server noted", () => {
  const config = { size: "10GiB", "snapshots.schedule": "@daily", "volatile.uuid": "u-1", "zfs.blocksize": "16k" };
  const data = volume("data", { config, contentType: "block", description: "d" });
  const { create } = stepOf(plan([volumeJob("data")], stateOf({ volumes: [data] })), "copy").copy;
  expect(create).toEqual({
    contentType: "block",
    description: "d",
    config: { size: "10GiB", "zfs.blocksize": "16k", "user.iab.source": "prod:default/default/data" },
  });
});

test("makePlan() sends along with a refresh the pool in which the replica really is", () => {
  const root = (pool: string) => ({ root: { type: "disk", path: "/", pool } });
  const web1 = instance("web1", { snapshots: HISTORY, devices: root("default") });
  const pools = ["default", "tank"].map((name) => ({ name, driver: "btrfs" }));
  const replica = replicaOf(web1, { devices: root("tank"), expandedDevices: root("tank") });
  const made = plan(
    [job("web1", { rootPool: "default" })],
    stateOf({ instances: [web1] }, { instances: [replica], pools }),
  );
  expect(stepOf(made, "copy").copy.create).toMatchObject({ devices: root("tank") });
  expect(made.warnings).toMatchObject([
    { code: "pool.differs", text: expect.stringContaining("lies in pool tank, not default") },
  ]);
});

test("makePlan() marks what it adopts, makes it safe, and takes its snapshots for proven", () => {
  const web1 = instance("web1", { snapshots: HISTORY, config: { "volatile.uuid": "u-1" } });
  const config = { "snapshots.schedule": "@daily", "volatile.last_state.power": "STOPPED" };
  const old = instance("web1", { snapshots: copied(HISTORY.slice(0, 2)), config });
  const made = plan([job("web1")], stateOf({ instances: [web1] }, { instances: [old] }));
  expect(stepOf(made, "adopt")).toMatchObject({
    needs: [],
    marks: {
      "user.iab.source": "prod:default/web1",
      "user.iab.source-uuid": "u-1",
      "user.iab.last": own(48).name,
      "boot.autostart": "false",
      "snapshots.schedule": "",
      "volatile.last_state.power": "",
    },
  });
  expect(stepOf(made, "copy").needs).toEqual(["snapshot:default/web1", "adopt:default/web1"]);
});

test("makePlan() has an ephemeral replica stay when it is stopped, whether it is taken over or ours already", () => {
  const web1 = instance("web1", { snapshots: HISTORY, ephemeral: true });
  const adopted = instance("web1", { snapshots: copied(HISTORY), ephemeral: true });
  const taken = stepOf(plan([job("web1")], stateOf({ instances: [web1] }, { instances: [adopted] })), "adopt");
  expect(taken).toMatchObject({ marks: { "boot.autostart": "false" }, lasting: { name: "web1" } });
  const ours = { instances: [replicaOf(web1, { ephemeral: true })] };
  const made = plan([job("web1")], stateOf({ instances: [web1] }, ours));
  expect(stepOf(made, "adopt")).toMatchObject({ marks: {}, lasting: { name: "web1" } });
  expect(stepOf(made, "copy").needs).toContain("adopt:default/web1");
  const lasting = plan([job("web1")], stateOf({ instances: [web1] }, { instances: [replicaOf(web1)] }));
  expect(lasting.steps.map(({ kind }) => kind)).not.toContain("adopt");
});

const growing: { name: string; source: Partial<Volume>; target: Partial<Volume>; size: string | undefined }[] = [
  {
    name: "a grown volume",
    source: { config: { size: "20GiB" } },
    target: { config: { size: "10GiB" } },
    size: "20GiB",
  },
  { name: "a limit that the source has no more", source: {}, target: { config: { size: "10GiB" } }, size: "" },
  {
    name: "no volume of the same size in other words",
    source: { config: { size: "64MiB" } },
    target: { config: { size: "67108864" } },
    size: undefined,
  },
  {
    name: "no volume that is larger on the target",
    source: { config: { size: "1GB" } },
    target: { config: { size: "1GiB" } },
    size: undefined,
  },
  {
    name: "no volume without a limit on the target",
    source: { config: { size: "1GiB" } },
    target: {},
    size: undefined,
  },
];
for (const { name, source, target, size } of growing) {
  test(`makePlan() raises the target's size of ${name}`, () => {
    const data = volume("data", { snapshots: HISTORY, ...source });
    const made = plan([volumeJob("data")], stateOf({ volumes: [data] }, { volumes: [volumeReplicaOf(data, target)] }));
    const grow = made.steps.find((step) => step.kind === "grow");
    expect(grow?.size).toBe(size);
    expect(stepOf(made, "copy").needs.includes("grow:default/default/data")).toBe(size !== undefined);
  });
}

const roots = [
  { name: "a root disk that has grown", source: "20GiB", target: "10GiB", grows: { size: "20GiB" } },
  { name: "a root disk that has no limit any more", source: undefined, target: "10GiB", grows: {} },
  { name: "no root disk that is larger on the target", source: "5GiB", target: "10GiB", grows: undefined },
];
for (const { name, source, target, grows } of roots) {
  test(`makePlan() raises the target's size of ${name}`, () => {
    const root = (size: string | undefined, pool: string) => ({
      root: { type: "disk", path: "/", pool, ...(size === undefined ? {} : { size }) },
    });
    const web1 = instance("web1", { snapshots: HISTORY, devices: root(source, "default") });
    const devices = root(target, "tank");
    const replica = replicaOf(web1, { devices, expandedDevices: devices });
    const state = stateOf({ instances: [web1] }, { instances: [replica] });
    const made = plan([job("web1")], state);
    const grow = made.steps.find((step) => step.kind === "grow");
    const wanted = grows && { root: { type: "disk", path: "/", pool: "tank", ...grows } };
    expect(grow?.devices).toEqual(wanted);
    expect(stepOf(made, "copy").needs.includes("grow:default/web1")).toBe(grows !== undefined);
  });
}

test("makePlan() warns of snapshots of others that the refresh will delete", () => {
  const web1 = instance("web1", { snapshots: HISTORY });
  const replica = replicaOf(instance("web1", { snapshots: [named("before", 90), ...HISTORY] }));
  const made = plan([job("web1")], stateOf({ instances: [web1] }, { instances: [replica] }));
  expect(stepOf(made, "copy").vanishes).toEqual([{ name: "before", reasons: ["the source no longer has it"] }]);
  expect(made.warnings).toMatchObject([{ code: "snapshot.vanishes" }]);
});

test("makePlan() takes back unproven snapshots newest first, and sends them again", () => {
  const web1 = instance("web1", { snapshots: HISTORY });
  const replica = replicaOf(web1, { config: { "user.iab.last": own(72).name } });
  const made = plan([job("web1")], stateOf({ instances: [web1] }, { instances: [replica] }));
  expect(stepOf(made, "prune")).toMatchObject({
    id: "retract-target:default/web1",
    needs: [],
    side: "target",
    removals: [{ name: own(24).name }, { name: own(48).name }],
  });
  expect(stepOf(made, "copy")).toMatchObject({
    base: own(72).name,
    sends: [own(48).name, own(24).name, RUN],
    needs: ["snapshot:default/web1", "retract-target:default/web1"],
  });
});

test("makePlan() warns of what no run has proven and cannot be taken back", () => {
  const web1 = instance("web1", { snapshots: [own(72), own(48), named("manual", 30)] });
  const replica = replicaOf(web1, { config: { "user.iab.last": own(72).name } });
  const made = plan([job("web1")], stateOf({ instances: [web1] }, { instances: [replica] }));
  expect(made.warnings).toMatchObject([
    { code: "snapshot.unproven", text: expect.stringContaining(`manual, ${own(48).name}`) },
  ]);
});

const FRESH = "web1-iab-new-20261119040000";

function fresh(source: Instance, name: string, last?: string): Instance {
  const config = { "user.iab.source": "prod:default/web1", ...(last === undefined ? {} : { "user.iab.last": last }) };
  return instance(name, { snapshots: copied(source.snapshots), config });
}

test("makePlan() replaces a replica by a fresh copy, and keeps the old one where it holds more", () => {
  const web1 = instance("web1", { snapshots: HISTORY });
  const reseed = (replica: Instance) =>
    stepOf(
      plan([job("web1")], stateOf({ instances: [web1] }, { instances: [replica] }), { reseed: ["web1"] }),
      "reseed",
    );
  const step = reseed(replicaOf(web1));
  expect(step).toMatchObject({
    needs: ["snapshot:default/web1"],
    why: "asked for with --reseed",
    replaces: { name: "web1" },
    aside: "web1-iab-old",
    keeps: false,
    proof: [...HISTORY.map(({ name }) => name), RUN],
    marks: { "user.iab.source": "prod:default/web1", "user.iab.last": RUN },
  });
  expect(step.copy.target.name).toBe("web1-iab-new-20261120040000");
  expect(step.copy.create.config["user.iab.source"]).toBe("prod:default/web1");
  const more = replicaOf(web1, { snapshots: copied([own(96), ...HISTORY]) });
  expect(reseed(more)).toMatchObject({ aside: "web1-iab-old-20261120040000", keeps: true });
});

test("makePlan() keeps the names of a reseed within what Incus allows, and apart", () => {
  const names = ["x", "y"].map((end) => `a${"b".repeat(61)}${end}`);
  const long = names.map((name) => instance(name, { snapshots: HISTORY }));
  const replicas = long.map((each) => replicaOf(each));
  const made = plan(
    names.map((name) => job(name)),
    stateOf({ instances: long }, { instances: replicas }),
    { reseed: names },
  );
  const steps = made.steps.filter((step) => step.kind === "reseed");
  const given = steps.flatMap(({ copy, aside }) => [copy.target.name, aside]);
  for (const name of given) expect(name).toMatch(/^[a-z][a-z0-9-]{0,62}$/);
  expect(new Set(given).size).toBe(4);
});

test("makePlan() finds the fresh copy of a long name again", () => {
  const name = `a${"b".repeat(62)}`;
  const long = instance(name, { snapshots: HISTORY });
  const reseeded = plan([job(name)], stateOf({ instances: [long] }, { instances: [replicaOf(long)] }), {
    reseed: [name],
  });
  const left = instance(stepOf(reseeded, "reseed").copy.target.name, {
    snapshots: copied(HISTORY),
    config: { "user.iab.source": `prod:default/${name}`, "user.iab.last": own(24).name },
  });
  const made = plan([job(name)], stateOf({ instances: [long] }, { instances: [left] }));
  expect(stepOf(made, "rename")).toMatchObject({ unit: { name: left.name }, name });
});

test("makePlan() ends a reseed that died between deleting the old replica and renaming the fresh one", () => {
  const web1 = instance("web1", { snapshots: HISTORY });
  const state = stateOf({ instances: [web1] }, { instances: [fresh(web1, FRESH, own(24).name)] });
  const made = plan([job("web1")], state);
  expect(made.steps.map(({ id, needs }) => [id, needs])).toEqual([
    ["snapshot:default/web1", []],
    ["rename:default/web1", []],
    ["copy:default/web1", ["snapshot:default/web1", "rename:default/web1"]],
  ]);
  expect(stepOf(made, "rename")).toMatchObject({ unit: { name: FRESH }, name: "web1" });
  expect(stepOf(made, "copy")).toMatchObject({ base: own(24).name, copy: { target: { name: "web1" } } });
  expect(made.warnings).toEqual([]);
});

test("makePlan() does not build on a fresh copy that was never proven, and warns of what reseeds have left", () => {
  const web1 = instance("web1", { snapshots: HISTORY });
  const state = stateOf({ instances: [web1] }, { instances: [fresh(web1, FRESH), fresh(web1, "web1-iab-old", "x")] });
  const made = plan([job("web1")], state);
  expect(stepOf(made, "copy").base).toBeUndefined();
  expect(made.warnings.map(({ code, text }) => [code, text.split(" ")[0]])).toEqual([
    ["reseed.leftover", FRESH],
    ["reseed.leftover", "web1-iab-old"],
  ]);
});
