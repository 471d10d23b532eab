import { describe, expect, test } from "vitest";
import type { InstanceJob } from "../../src/model/job.ts";
import type { OffsiteSource } from "../../src/model/offsite.ts";
import type { BackUpStep, OffsitePlan } from "../../src/model/offsite-plan.ts";
import { subjectId } from "../../src/model/reading.ts";
import type { OffsiteState } from "../../src/plan/choose-subjects.ts";
import { makeOffsitePlan, type OffsiteOrders } from "../../src/plan/make-offsite-plan.ts";
import { facts, instance, NOW, policy, volume } from "./fixtures.ts";

const NOTHING = { host: "source", pools: [], instances: [], volumes: [], datasets: [], root: undefined } as const;

function source(more: Partial<OffsiteSource>): OffsiteSource {
  return { read: "export", ...NOTHING, ...more };
}

function named(spelled: string) {
  const [name = "", project = "default"] = spelled.split("/").reverse();
  return { project, name };
}

function volumeNamed(spelled: string) {
  const [name = "", pool = "", project = "default"] = spelled.split("/").reverse();
  return { project, pool, name };
}

function inPool(pool: string) {
  const devices = { root: { type: "disk", path: "/", pool } };
  return { devices, expandedDevices: devices };
}

const web = instance("web1", inPool("tank"));
const web2 = instance("web2", inPool("tank"));
const db = instance("db", { ...inPool("local"), status: "Running", project: "shop" });
const data = volume("data", { pool: "tank", usedBy: [{ kind: "instance", project: "default", name: "web1" }] });
const iso = volume("debian", { pool: "local", contentType: "iso" });

function stateOf(more: Partial<OffsiteState["source"]> = {}): OffsiteState {
  const server = {
    facts: facts("prod"),
    projects: [
      { name: "default", ownVolumes: true, ownProfiles: true, ownNetworks: true },
      { name: "shop", ownVolumes: false, ownProfiles: false, ownNetworks: false },
    ],
    pools: [
      { name: "tank", driver: "zfs" },
      { name: "local", driver: "btrfs" },
    ],
    instances: [web, web2, db],
    volumes: [data, iso],
  };
  return { source: { ...server, ...more } };
}

function planFor(sources: OffsiteSource[], more: Partial<OffsiteOrders> = {}, state = stateOf()): OffsitePlan {
  return makeOffsitePlan({ sources, jobs: [], owner: "iab@host1", now: NOW, only: [], ...more }, state);
}

function backUps({ steps }: OffsitePlan): BackUpStep[] {
  return steps.filter((step) => step.kind === "back-up");
}

function chosen(plan: OffsitePlan): string[] {
  return backUps(plan).map(({ subject, place }) => `${subjectId(subject)} by ${place.read}`);
}

const choices: { name: string; sources: OffsiteSource[]; chosen: string[] }[] = [
  {
    name: "everything in all pools, ISO images aside",
    sources: [source({ pools: ["*"] })],
    chosen: ["default/tank/data by export", "default/web1 by export", "default/web2 by export", "shop/db by export"],
  },
  {
    name: "a whole pool",
    sources: [source({ pools: ["tank"] })],
    chosen: ["default/tank/data by export", "default/web1 by export", "default/web2 by export"],
  },
  {
    name: "instances by pattern",
    sources: [source({ instances: [named("web*")] })],
    chosen: ["default/web1 by export", "default/web2 by export"],
  },
  {
    name: "instances of all projects",
    sources: [source({ instances: [named("*/*")] })],
    chosen: ["default/web1 by export", "default/web2 by export", "shop/db by export"],
  },
  {
    name: "a volume in a project that has those of default",
    sources: [source({ volumes: [volumeNamed("shop/tank/data")] })],
    chosen: ["default/tank/data by export"],
  },
  {
    name: "a dataset that Incus does not know",
    sources: [source({ read: "zfs", datasets: ["tank/mail"] })],
    chosen: ["zfs:tank/mail by zfs"],
  },
  {
    name: "what two sources choose once, by the more particular of them",
    sources: [
      source({ read: "zfs", pools: ["tank"] }),
      source({ read: "export", instances: [named("web1")] }),
      source({ read: "export", instances: [named("web*")] }),
    ],
    chosen: ["default/tank/data by zfs", "default/web1 by export", "default/web2 by export"],
  },
  {
    name: "what two sources choose alike by the first of them",
    sources: [source({ read: "zfs", pools: ["tank"] }), source({ pools: ["*"] })],
    chosen: ["default/tank/data by zfs", "default/web1 by zfs", "default/web2 by zfs", "shop/db by export"],
  },
];
test.each(choices)("makeOffsitePlan() chooses $name", ({ sources, chosen: expected }) => {
  const plan = planFor(sources);
  expect(chosen(plan).sort()).toEqual(expected);
  expect(plan.skipped.filter(({ failed }) => failed)).toEqual([]);
});

const refusals: { name: string; sources: OffsiteSource[]; what: string; why: RegExp; failed: boolean }[] = [
  {
    name: "an instance that is not there",
    sources: [source({ instances: [named("web9")] })],
    what: "web9",
    why: /no such instance on prod/,
    failed: true,
  },
  {
    name: "a volume that is not there",
    sources: [source({ volumes: [volumeNamed("tank/none")] })],
    what: "tank/none",
    why: /no such volume on prod/,
    failed: true,
  },
  {
    name: "a pool that is not there",
    sources: [source({ pools: ["tnak"] })],
    what: "tnak",
    why: /no such pool on prod/,
    failed: true,
  },
  {
    name: "an instance whose pool is of another driver",
    sources: [source({ read: "zfs", instances: [named("shop/db")] })],
    what: "shop/db",
    why: /pool local is of btrfs, and cannot be read as zfs/,
    failed: true,
  },
  {
    name: "what a pattern catches in a pool of another driver",
    sources: [source({ read: "zfs", instances: [named("*/*")] })],
    what: "shop/db",
    why: /pool local is of btrfs/,
    failed: false,
  },
  {
    name: "an ISO image in a pool",
    sources: [source({ pools: ["local"] })],
    what: "default/local/debian",
    why: /ISO image/,
    failed: false,
  },
  {
    name: "an ISO image by its name",
    sources: [source({ volumes: [volumeNamed("local/debian")] })],
    what: "default/local/debian",
    why: /ISO image/,
    failed: true,
  },
];
test.each(refusals)("makeOffsitePlan() leaves out $name, and says why", ({ sources, what, why, failed }) => {
  const { skipped } = planFor(sources);
  expect(skipped).toEqual([expect.objectContaining({ what, why: expect.stringMatching(why), failed })]);
});

test("makeOffsitePlan() warns of a pattern that fits nothing, once, and of a volume that is left out", () => {
  const { warnings, skipped } = planFor([source({ instances: [named("app*"), named("web1")] })]);
  expect(skipped).toEqual([]);
  expect(warnings).toEqual([
    { code: "glob.empty", what: "app*", text: "app* fits no instance on prod" },
    expect.objectContaining({
      code: "volume.left-out",
      what: "default/web1",
      text: expect.stringContaining("tank/data"),
    }),
  ]);
});

test("makeOffsitePlan() never backs up the copies that exports are made from", () => {
  const copy = instance("web1-copy", { ...inPool("tank"), config: { "user.iab.offsite": "iab@host1 offsite-1" } });
  const plan = planFor([source({ pools: ["tank"] })], {}, stateOf({ instances: [web, copy] }));
  expect(chosen(plan)).not.toContain("default/web1-copy by export");
});

test("makeOffsitePlan() never backs up what a restore is about to make, and says of a workload that it is half one", () => {
  const config = { "user.iab.restoring": "4afeed0c4afeed0c" };
  const made = ["restore-0123456789ab", "drill-0123456789ab", "web2"].map((name) =>
    instance(name, { ...inPool("tank"), config }),
  );
  const plan = planFor([source({ pools: ["tank"] })], {}, stateOf({ instances: [web, ...made] }));
  expect(chosen(plan).filter((id) => /restore|drill|web2/.test(id))).toEqual([]);
  expect(plan.skipped).toEqual([
    {
      what: "default/web2",
      why: "a restore of it has not come to its end",
      failed: true,
      hint: expect.stringContaining("user.iab.restoring"),
    },
  ]);
});

test("makeOffsitePlan() puts every subject behind one moment of its place, and tidies up last", () => {
  const { steps } = planFor([source({ read: "zfs", pools: ["tank"] }), source({ instances: [named("shop/db")] })]);
  expect(steps.map(({ id, needs }) => [id, ...needs].join(" "))).toEqual([
    "sweep:zfs",
    "sweep:export",
    "hold:zfs",
    "hold:export",
    "back-up:default/tank/data hold:zfs",
    "back-up:default/web1 hold:zfs",
    "back-up:default/web2 hold:zfs",
    "release:zfs hold:zfs",
    "back-up:shop/db hold:export",
    "release:export hold:export",
    "retention",
    "maintenance",
  ]);
});

describe("makeOffsitePlan() gives a backup", () => {
  test("a path that stays, whatever it is read by", () => {
    const paths = [source({ pools: ["tank"] }), source({ read: "zfs", pools: ["tank"] })].map((each) =>
      backUps(planFor([each])).map(({ path }) => path),
    );
    expect(paths[0]).toEqual(paths[1]);
    expect(paths[0]).toEqual([
      "/incus/prod/default/volumes/tank/data",
      "/incus/prod/default/instances/web1",
      "/incus/prod/default/instances/web2",
    ]);
  });

  test("a path without the letters that Kopia reads otherwise", () => {
    const odd = volume("mail@home 2", { pool: "tank" });
    const [step] = backUps(planFor([source({ pools: ["tank"] })], {}, stateOf({ instances: [], volumes: [odd] })));
    expect(step?.path).toBe("/incus/prod/default/volumes/tank/mail%40home%202");
  });

  test("tags by which it is found, and a description for people", () => {
    const [step] = backUps(planFor([source({ instances: [named("shop/db")] })]));
    expect(step?.tags).toEqual({
      workload: "shop/db",
      host: "prod",
      kind: "container",
      project: "shop",
      pool: "local",
      run: expect.stringMatching(/^offsite-20261120-040000-[0-9a-f]{4}$/),
      read: "export",
    });
    expect(step?.description).toBe("shop/db (container) on prod");
  });
});

test("makeOffsitePlan() names the runs of two owners differently, though they start in one second", () => {
  const [one, two] = ["iab@host1", "iab@host2"].map((owner) => planFor([], { owner }).run.name);
  expect(one).not.toBe(two);
});

function job(name: string, stop: boolean): InstanceJob {
  const unit = { kind: "instance", project: "shop", name } as const;
  const retention = { source: policy(""), target: policy("") };
  const common = { mode: "pull", history: "mirror", retention, targetMember: undefined, rootPool: undefined } as const;
  return { ...common, kind: "instance", source: unit, target: unit, excludeDevices: [], stop };
}

const stops: { name: string; jobs: InstanceJob[]; stopped: boolean }[] = [
  { name: "stops a running instance that a run stops", jobs: [job("db", true)], stopped: true },
  { name: "stops one that a pattern stops", jobs: [job("d*", true)], stopped: true },
  { name: "leaves one running that is named so", jobs: [job("d*", true), job("db", false)], stopped: false },
  { name: "leaves one running that is not replicated", jobs: [job("other", true)], stopped: false },
];
test.each(stops)("makeOffsitePlan() $name", ({ jobs, stopped }) => {
  const [hold] = planFor([source({ instances: [named("shop/db")] })], { jobs }).steps.filter(
    (step) => step.kind === "hold",
  );
  expect(hold?.stop).toEqual(stopped ? [{ kind: "instance", project: "shop", name: "db" }] : []);
});

test("makeOffsitePlan() first starts what an earlier run has left stopped", () => {
  const left = instance("web1", { ...inPool("tank"), config: { "user.iab.stopped": "offsite-20261119-040000-0000" } });
  const { steps } = planFor([source({ pools: ["tank"] })], {}, stateOf({ instances: [left] }));
  expect(steps.map(({ kind }) => kind).slice(0, 3)).toEqual(["sweep", "restart", "hold"]);
});

test("makeOffsitePlan() keeps to the workloads that were named, without the maintenance", () => {
  const plan = planFor([source({ pools: ["*"] }), source({ instances: [named("web9")] })], {
    only: ["web1", "tank/*"],
  });
  expect(chosen(plan)).toEqual(["default/tank/data by export", "default/web1 by export"]);
  expect(plan.steps.at(-1)?.kind).toBe("retention");
  expect(plan.skipped).toEqual([]);
  expect(() => planFor([source({ pools: ["*"] })], { only: ["app"] })).toThrow("Cannot find app");
});
