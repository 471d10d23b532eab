import { expect, test } from "vitest";
import type { Device, Devices, Profile } from "../../src/model/state.ts";
import {
  DEFAULT_PROJECT,
  instance,
  job,
  plan,
  type ServerSeed,
  stateOf,
  stepOf,
  volume,
  volumeJob,
} from "./fixtures.ts";

const ROOT = { type: "disk", path: "/", pool: "default" };
const NONE = { type: "none" };

function profile(name: string, devices: Devices): Profile {
  return { project: "default", name, config: {}, devices };
}

type Case = {
  readonly name: string;
  /** The instance's own devices, beside its root disk. */
  readonly devices?: Devices;
  /** The devices its profile `default` brings on the source. */
  readonly inherited?: Devices;
  readonly target?: ServerSeed;
  readonly excludeDevices?: readonly string[];
  /** What the replica gets, beside its root disk. */
  readonly made: Devices;
  readonly dropped: Record<string, string>;
};

const nic = (network: string): Device => ({ type: "nic", network, name: "eth0" });
const bridged: Device = { type: "nic", nictype: "bridged", parent: "br7" };
const disk = (source: string, pool = "default"): Device => ({ type: "disk", pool, source, path: "/data" });
const networks = [{ project: "default", name: "lan" }];

const cases: Case[] = [
  {
    name: "keeps a card whose network the target has",
    devices: { eth0: nic("lan") },
    target: { networks },
    made: { eth0: nic("lan") },
    dropped: {},
  },
  {
    name: "drops a card whose network the target lacks",
    devices: { eth0: nic("wan") },
    target: { networks },
    made: {},
    dropped: { eth0: "the target has no network wan" },
  },
  {
    name: "keeps a card on a bridge that Incus does not manage",
    devices: { eth0: bridged },
    made: { eth0: bridged },
    dropped: {},
  },
  {
    name: "drops a card with network ACLs",
    devices: { eth0: { ...nic("lan"), "security.acls": "web" } },
    target: { networks },
    made: {},
    dropped: { eth0: "its network ACLs may not exist on the target" },
  },
  {
    name: "drops what the configuration excludes",
    devices: { eth0: nic("lan") },
    target: { networks },
    excludeDevices: ["eth0"],
    made: {},
    dropped: { eth0: "the configuration excludes it" },
  },
  {
    name: "keeps a volume that the target has",
    devices: { data: disk("data/sub") },
    target: { volumes: [volume("data")] },
    made: { data: disk("data/sub") },
    dropped: {},
  },
  {
    name: "drops a volume that the target lacks",
    devices: { data: disk("data") },
    made: {},
    dropped: { data: "the target has no volume default/data" },
  },
  {
    name: "drops a path of the host",
    devices: { srv: { type: "disk", source: "/srv", path: "/srv" } },
    made: {},
    dropped: { srv: "whether the target's host has /srv cannot be known" },
  },
  {
    name: "drops a disk from outside of Incus's storage",
    devices: { c: { type: "disk", source: "ceph:rbd/x", path: "/c" } },
    made: {},
    dropped: { c: "its source ceph:rbd/x is outside of Incus's storage" },
  },
  {
    name: "keeps the disk of the agent",
    devices: { a: { type: "disk", source: "agent:config" } },
    made: { a: { type: "disk", source: "agent:config" } },
    dropped: {},
  },
  ...["gpu", "usb", "unix-char", "unix-block", "unix-hotplug", "proxy", "infiniband", "pci"].map((type) => ({
    name: `drops a ${type} device`,
    devices: { x: { type } },
    made: {},
    dropped: { x: `a ${type} device belongs to the host it is on` },
  })),
  {
    name: "keeps a tpm, and what masks a profile's device",
    devices: { t: { type: "tpm" }, m: NONE },
    made: { t: { type: "tpm" }, m: NONE },
    dropped: {},
  },
  {
    name: "leaves to the target's profile what it brings itself",
    inherited: { eth0: nic("wan") },
    target: { networks, profiles: [profile("default", { eth0: nic("lan") })] },
    made: {},
    dropped: {},
  },
  {
    name: "says what comes from a profile and is not in the target's",
    inherited: { eth0: nic("wan") },
    target: { profiles: [profile("default", {})] },
    made: {},
    dropped: { eth0: "it comes from a profile, and the target's profiles have none of that name" },
  },
  {
    name: "masks what is excluded and the target's profile would bring",
    inherited: { eth0: nic("wan") },
    target: { networks, profiles: [profile("default", { eth0: nic("lan") })] },
    excludeDevices: ["eth0"],
    made: { eth0: NONE },
    dropped: { eth0: "the configuration excludes it" },
  },
  {
    name: "masks a target profile's card whose network is not there",
    inherited: { eth0: nic("lan") },
    target: { profiles: [profile("default", { eth0: nic("lan") })] },
    made: { eth0: NONE },
    dropped: { eth0: "the target has no network lan" },
  },
  {
    name: "masks a second root disk that a target's profile would bring",
    target: { profiles: [profile("default", { disk0: ROOT })] },
    made: { disk0: NONE },
    dropped: {},
  },
  {
    name: "does not put a profile's device in the place of the instance's own that was dropped",
    devices: { eth0: nic("wan") },
    target: { networks, profiles: [profile("default", { eth0: nic("lan") })] },
    made: { eth0: NONE },
    dropped: { eth0: "the target has no network wan" },
  },
];

for (const { name, devices = {}, inherited = {}, target = {}, excludeDevices = [], made, dropped } of cases) {
  test(`filterDevices() ${name}`, () => {
    const own = { root: ROOT, ...devices };
    const source = instance("web1", { profiles: ["default"], devices: own, expandedDevices: { ...inherited, ...own } });
    const profiles = [profile("default", inherited)];
    const planned = plan(
      [job("web1", { excludeDevices })],
      stateOf({ instances: [source], profiles }, { profiles: [profile("default", {})], ...target }),
    );
    const copy = stepOf(planned, "copy");
    expect(copy.copy.create).toMatchObject({ profiles: ["default"] });
    expect("devices" in copy.copy.create && copy.copy.create.devices).toEqual({ root: ROOT, ...made });
    expect(Object.fromEntries(copy.dropped.map((each) => [each.name, each.why]))).toEqual(dropped);
    expect(planned.warnings.map(({ code }) => code)).toEqual(Object.keys(dropped).map(() => "device.dropped"));
    const remembered = copy.copy.create.config["user.iab.dropped-devices"];
    expect(Object.keys(JSON.parse(remembered ?? "{}"))).toEqual(Object.keys(dropped));
  });
}

function madeDevices(...args: Parameters<typeof plan>): Devices {
  const steps = plan(...args).steps.filter((step) => step.kind === "copy");
  const create = steps.find(({ copy }) => copy.kind === "instance")?.copy.create;
  return create !== undefined && "devices" in create ? create.devices : {};
}

test("filterDevices() puts the root disk into the configured pool under its own name, from a profile too", () => {
  const expandedDevices = { disk0: { ...ROOT, size: "5GiB" } };
  const source = instance("web1", { profiles: ["default"], devices: {}, expandedDevices });
  const pools = [{ name: "tank", driver: "zfs" }];
  expect(madeDevices([job("web1", { rootPool: "tank" })], stateOf({ instances: [source] }, { pools }))).toEqual({
    disk0: { type: "disk", path: "/", pool: "tank", size: "5GiB" },
  });
});

test("filterDevices() attaches the replica of a volume of this run, in its pool", () => {
  const source = instance("web1", { devices: { root: ROOT, data: disk("data/sub") } });
  const pools = ["default", "tank"].map((name) => ({ name, driver: "btrfs" }));
  const state = stateOf({ instances: [source], volumes: [volume("data")] }, { pools });
  const toTank = volumeJob("data", { target: { kind: "volume", project: "default", pool: "tank", name: "data" } });
  expect(madeDevices([job("web1"), toTank], state)["data"]).toEqual(disk("data/sub", "tank"));
});

test("filterDevices() drops a volume whose replica the instance's project does not see", () => {
  const source = instance("web1", { devices: { root: ROOT, data: disk("data") } });
  const projects = [DEFAULT_PROJECT, { ...DEFAULT_PROJECT, name: "copies" }];
  const elsewhere = volumeJob("data", { target: { kind: "volume", project: "copies", pool: "default", name: "data" } });
  const state = stateOf({ instances: [source], volumes: [volume("data")] }, { projects });
  expect(madeDevices([job("web1"), elsewhere], state)).toEqual({ root: ROOT });
});

test("filterDevices() drops what comes from a profile that the target does not show", () => {
  const lost = { eth1: nic("lan") };
  const source = instance("web1", { profiles: ["default", "lan"], expandedDevices: { root: ROOT, ...lost } });
  const made = plan([job("web1")], stateOf({ instances: [source], profiles: [profile("lan", lost)] }, { networks }));
  expect(stepOf(made, "copy").copy.create).toMatchObject({ profiles: [] });
  expect(made.warnings.map(({ code }) => code)).toEqual(["profile.missing", "profile.missing", "device.dropped"]);
});

test("filterDevices() finds profiles, networks and volumes in default where the target's project has none of its own", () => {
  const web = { name: "web", ownVolumes: false, ownProfiles: false, ownNetworks: false };
  const devices = { root: ROOT, eth0: nic("lan"), data: disk("data") };
  const source = instance("web1", { profiles: ["default"], devices });
  const target = { kind: "instance", project: "web", name: "web1" } as const;
  const state = stateOf(
    { instances: [source] },
    { projects: [DEFAULT_PROJECT, web], networks, volumes: [volume("data")], profiles: [profile("default", {})] },
  );
  expect(madeDevices([job("web1", { target })], state)).toEqual(devices);
});
