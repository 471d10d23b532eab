import { expect, test } from "vitest";
import type { Profile } from "../../src/model/state.ts";
import { narrowPlan } from "../../src/plan/narrow-plan.ts";
import { copied, DEFAULT_PROJECT, instance, job, own, plan, replicaOf, type ServerSeed, stateOf } from "./fixtures.ts";

const ROOT = { type: "disk", path: "/", pool: "default" };
const ETH1 = { type: "nic", network: "lan", name: "eth1" };
const BORROWING = { ...DEFAULT_PROJECT, name: "web", ownProfiles: false };

function profile(name: string, more: Partial<Profile> = {}): Profile {
  return { project: "default", name, config: {}, devices: {}, ...more };
}

const BIG = profile("big", { config: { "limits.memory": "8GiB" }, devices: { eth1: ETH1 } });
const DEFAULTS = [profile("default")];
const web1 = instance("web1", { profiles: ["default", "big"], expandedDevices: { root: ROOT, eth1: ETH1 } });
const web2 = { ...web1, name: "web2" };

const made = (target: ServerSeed, instances = [web1], jobs = instances.map(({ name }) => job(name))) =>
  plan(jobs, stateOf({ instances, profiles: [...DEFAULTS, BIG] }, { profiles: DEFAULTS, ...target }));
const standInsIn = ({ steps }: ReturnType<typeof plan>) =>
  steps.flatMap((step) => (step.kind === "stand-in" ? [step] : []));
const copiesIn = ({ steps }: ReturnType<typeof plan>) => steps.flatMap((step) => (step.kind === "copy" ? [step] : []));

test("makePlan() makes an empty profile, once for all that name it and before their copies, and leaves it off the replicas", () => {
  const both = made({}, [web1, web2]);
  const [standIn, ...more] = standInsIn(both);
  expect(more).toEqual([]);
  expect(standIn).toMatchObject({ id: "stand-in:default/big", needs: [] });
  expect(standIn?.profile).toEqual({
    project: "default",
    name: "big",
    description: expect.stringContaining("it stands in for the profile big of prod"),
    config: { "user.iab.stand-in": "prod:default/big" },
  });
  for (const { needs, copy } of copiesIn(both)) {
    expect(needs).toContain("stand-in:default/big");
    expect(copy.create).toMatchObject({ profiles: ["default"], config: { "user.iab.dropped-profiles": '["big"]' } });
  }
  expect(both.warnings.filter(({ code }) => code === "profile.missing").map(({ text }) => text)).toEqual(
    ["web1", "web2"].map(
      (name) =>
        `Profile big is missing on backup: an empty one stands in for it, since snapshots name it. The replica of ${name} is made without profile big, and lacks device eth1, limits.memory`,
    ),
  );
  expect(narrowPlan(both, ["web2"]).steps.map(({ id }) => id)).toContain("stand-in:default/big");
});

const standIn = profile("big", { config: { "user.iab.stand-in": "prod:default/big" } });
const filled = { ...standIn, devices: { eth0: ETH1 } };

test.each([
  { what: "a profile of somebody's", there: profile("big"), profiles: ["default", "big"] },
  { what: "a stand-in", there: standIn, profiles: ["default"] },
  { what: "a stand-in that somebody has filled", there: filled, profiles: ["default", "big"] },
])(
  "makePlan() leaves alone $what that is there, and a new replica has it only if it brings something or is not ours",
  ({ there, profiles }) => {
    const planned = made({ profiles: [...DEFAULTS, there] });
    expect(standInsIn(planned)).toEqual([]);
    expect(copiesIn(planned)[0]?.copy.create).toMatchObject({ profiles });
  },
);

test("makePlan() remembers on a replica that exists what it does without, and keeps what was remembered before", () => {
  const source = { ...web1, profiles: ["default", "gone", "big"], snapshots: [own(24)] };
  const replica = replicaOf(source, {
    profiles: ["default"],
    snapshots: copied(source.snapshots),
    config: { "user.iab.dropped-profiles": '["gone","former"]' },
  });
  const planned = made({ instances: [replica], profiles: [...DEFAULTS, profile("gone")] }, [source]);
  expect(standInsIn(planned).map(({ profile }) => profile.name)).toEqual(["big"]);
  expect(copiesIn(planned)[0]?.marks).toMatchObject({ "user.iab.dropped-profiles": '["gone","big"]' });
  expect(planned.warnings.map(({ text }) => text)).toEqual([expect.stringMatching(/web1 stays as it is$/)]);
  const later = made({ instances: [replica], profiles: [...DEFAULTS, profile("gone"), standIn] }, [source]);
  expect(copiesIn(later)[0]?.marks).toMatchObject({ "user.iab.dropped-profiles": '["gone","big"]' });
  expect([...standInsIn(later), ...later.warnings]).toEqual([]);
});

test("makePlan() makes it in the project whose profiles serve the replica", () => {
  const jobs = [job("web1", { target: { kind: "instance", project: "web", name: "web1" } })];
  const borrowed = made({ projects: [DEFAULT_PROJECT, BORROWING] }, [web1], jobs);
  expect(standInsIn(borrowed).map(({ id }) => id)).toEqual(["stand-in:default/big"]);
  const own = { projects: [DEFAULT_PROJECT, { ...BORROWING, ownProfiles: true }] };
  const owned = made({ ...own, profiles: [...DEFAULTS, profile("default", { project: "web" })] }, [web1], jobs);
  expect(standInsIn(owned).map(({ id }) => id)).toEqual(["stand-in:web/big"]);
});

test("an instance waits for a profile where the agent's certificate may not make it, and all else goes on", () => {
  const inWeb = (name: string) => job(name, { target: { kind: "instance", project: "web", name } });
  const target = { projects: [BORROWING], facts: { restricted: true } };
  const planned = made(target, [web1, instance("plain")], [inWeb("web1"), inWeb("plain")]);
  expect(standInsIn(planned)).toEqual([]);
  expect(copiesIn(planned).map(({ id }) => id)).toEqual(["copy:default/plain"]);
  expect(planned.skipped).toEqual([
    expect.objectContaining({
      failed: true,
      why: "backup has no profile big, which the snapshots of the instance name, and the agent's certificate may not make profiles in default",
      hint: expect.stringMatching(/^On the target: incus profile create big --project default/),
    }),
  ]);
});
