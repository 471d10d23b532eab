import { expect, test } from "vitest";
import { parsePolicy } from "../../src/retention/parse-policy.ts";
import { DEFAULT_PROJECT, instance, job, plan, stateOf, stepOf, volume, volumeJob } from "./fixtures.ts";

const SHARED = { name: "web", ownVolumes: false, ownProfiles: false, ownNetworks: false };

function ids(made: ReturnType<typeof plan>): string[] {
  return made.steps.filter(({ kind }) => kind === "copy").map(({ id }) => id);
}

test("makePlan() takes a glob for all that match, in its project and pool only", () => {
  const state = stateOf({
    projects: [DEFAULT_PROJECT, { ...DEFAULT_PROJECT, name: "other" }],
    instances: [instance("web1"), instance("web2"), instance("db1"), instance("web3", { project: "other" })],
    volumes: [volume("web1"), volume("web2", { pool: "second" })],
  });
  expect(ids(plan([job("web*")], state))).toEqual(["copy:default/web1", "copy:default/web2"]);
  expect(ids(plan([volumeJob("w*")], state))).toEqual(["copy:default/default/web1"]);
});

test("makePlan() never replicates the copies that an offsite run exports from", () => {
  const config = { "user.iab.offsite": "iab@host1 offsite-20261120-040000-1f3c" };
  const state = stateOf({ instances: [instance("web1"), instance("offsite-0123", { config })] });
  expect(ids(plan([job("*")], state))).toEqual(["copy:default/web1"]);
});

test("makePlan() never replicates what a restore or a drill is about to make", () => {
  const config = { "user.iab.restoring": "4afeed0c4afeed0c" };
  const made = ["restore-0123456789ab", "drill-0123456789ab", "restored"].map((name) => instance(name, { config }));
  const state = stateOf({ instances: [instance("drill-ffffffffffff"), ...made] });
  expect(ids(plan([job("*")], state))).toEqual(["copy:default/drill-ffffffffffff", "copy:default/restored"]);
});

test("makePlan() puts what is named apart before what a glob brings, and takes each workload once", () => {
  const state = stateOf({ instances: [instance("web1"), instance("web2")] });
  const made = plan([job("*"), job("web?"), job("web1", { mode: "relay" })], state);
  const modes = made.steps.flatMap((step) => (step.kind === "copy" ? [[step.id, step.copy.mode]] : []));
  expect(modes).toEqual([
    ["copy:default/web1", "relay"],
    ["copy:default/web2", "pull"],
  ]);
});

test("makePlan() gives a workload of a glob the policy that stands under its name", () => {
  const two = { source: parsePolicy("2"), target: parsePolicy("2") };
  const old = Array.from({ length: 4 }, (_, at) => ({ at, name: `IAB_2026111${at}-000000` }));
  const snapshots = old.map(({ at, name }) => {
    const createdAt = Date.UTC(2026, 10, 10 + at);
    return {
      name,
      createdAt,
      createdAtExact: new Date(createdAt).toISOString(),
      expiresAt: undefined,
      sizeBytes: undefined,
    };
  });
  const state = stateOf({ instances: [instance("web1", { snapshots }), instance("web2", { snapshots })] });
  const made = plan([job("web*", { retentionByName: { web2: two } })], state);
  expect(made.steps.filter(({ kind }) => kind === "prune").map(({ id }) => id)).toEqual([
    "prune-source:default/web2",
    "prune-target:default/web2",
  ]);
});

test("makePlan() warns of a glob that stands for nothing", () => {
  const made = plan([job("web*")], stateOf({}));
  expect(made.warnings).toMatchObject([{ code: "glob.empty" }]);
  expect(made.skipped).toEqual([]);
});

test("makePlan() looks for the volumes of a project without its own in default, and takes a shared one once", () => {
  const state = stateOf(
    { projects: [DEFAULT_PROJECT, SHARED], volumes: [volume("data")] },
    { projects: [DEFAULT_PROJECT, SHARED] },
  );
  const inWeb = { kind: "volume", project: "web", pool: "default", name: "data" } as const;
  const made = plan([volumeJob("data"), volumeJob("data", { source: inWeb, target: inWeb })], state);
  expect(ids(made)).toEqual(["copy:default/default/data"]);
  expect(stepOf(made, "copy").copy.target.project).toBe("default");
  expect(made.skipped).toEqual([]);
});

const missing = [
  { name: "an instance", jobs: [job("web1")], why: "prod has no such instance" },
  { name: "a volume", jobs: [volumeJob("data")], why: "prod has no such volume" },
  {
    name: "a project",
    jobs: [job("web1", { source: { kind: "instance", project: "gone", name: "web1" } })],
    why: "prod has no project gone",
  },
];
for (const { name, jobs, why } of missing) {
  test(`makePlan() leaves out ${name} that the source does not have, and the run is not whole`, () => {
    expect(plan(jobs, stateOf({}))).toMatchObject({ steps: [], skipped: [{ why, failed: true }] });
  });
}

test("makePlan() tells a restricted certificate's holder that the project may be hidden from him", () => {
  expect(plan([job("web1")], stateOf({ facts: { restricted: true } })).skipped[0]?.hint).toContain("certificate");
});

test("makePlan() does neither of two workloads that would become one object", () => {
  const other = { ...DEFAULT_PROJECT, name: "other" };
  const state = stateOf({
    projects: [DEFAULT_PROJECT, other],
    instances: [instance("web1"), instance("web1", { project: "other" }), instance("db1")],
  });
  const elsewhere = job("web1", { source: { kind: "instance", project: "other", name: "web1" } });
  const made = plan([job("web1"), elsewhere, job("db1")], state);
  expect(ids(made)).toEqual(["copy:default/db1"]);
  expect(made.skipped.map(({ why, failed }) => [why, failed])).toEqual([
    ["web1 and other/web1 would both become default/web1 on the target", true],
    ["web1 and other/web1 would both become default/web1 on the target", true],
  ]);
});

test("makePlan() replicates nothing onto itself", () => {
  const same = { facts: { fingerprint: "same" }, instances: [instance("web1")] };
  expect(plan([job("web1")], stateOf(same, same))).toMatchObject({
    steps: [],
    skipped: [{ why: "it would be replicated onto itself" }],
  });
});

test("makePlan() refuses a --reseed or --adopt that names no workload", () => {
  const state = stateOf({ instances: [instance("web1")] });
  expect(() => plan([job("web1")], state, { reseed: ["web9"] })).toThrow("--reseed web9: no workload");
  expect(() => plan([job("web1")], state, { adopt: ["db*"] })).toThrow("--adopt db*: no workload");
});
