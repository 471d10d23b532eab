import { expect, test } from "vitest";
import type { State } from "../../src/model/state.ts";
import {
  copied,
  instance,
  job,
  named,
  own,
  plan,
  replicaOf,
  stateOf,
  volume,
  volumeJob,
  volumeReplicaOf,
} from "./fixtures.ts";

const KEEP = { history: "keep", mode: "relay" } as const;
const HISTORY = [own(48), own(24)];
const web1 = instance("web1", { snapshots: HISTORY });
const data = volume("data", { snapshots: HISTORY });

type Made = ReturnType<typeof plan>;
const rehearsalsIn = ({ steps }: Made) => steps.flatMap((step) => (step.kind === "rehearse" ? [step] : []));
const copyOf = ({ steps }: Made, id: string) => {
  const found = steps.find((step) => step.id === id);
  if (found?.kind !== "copy" && found?.kind !== "reseed") throw new Error(`no ${id}`);
  return found;
};
/** The key by which a passed rehearsal of this plan would be remembered. */
const keyIn = (made: Made, id: string) => copyOf(made, id).marks["user.iab.rehearsed"] ?? "";

test("makePlan() rehearses each kind of data once, before the copies that keep history", () => {
  const jobs = [job("web1", KEEP), job("db1", KEEP), volumeJob("data", KEEP), volumeJob("image", KEEP)];
  const volumes = [data, volume("image", { contentType: "block" })];
  const made = plan(jobs, stateOf({ instances: [web1, instance("db1")], volumes }));
  const [files, image, ...more] = rehearsalsIn(made);
  expect(more).toEqual([]);
  expect(made.steps.slice(0, 2)).toEqual([files, image]);
  expect(files?.copy).toMatchObject({
    mode: "relay",
    source: { project: "default", pool: "default", name: "iab-rehearsal-prod-backup-btrfs-btrfs-filesystem" },
    target: { project: "default", pool: "default", name: "iab-rehearsal-prod-backup-btrfs-btrfs-filesystem-copy" },
    create: { contentType: "filesystem", config: {} },
  });
  expect(image?.copy.create).toMatchObject({ contentType: "block", config: { size: "1MiB" } });
  for (const id of ["copy:default/web1", "copy:default/db1", "copy:default/default/data"])
    expect(copyOf(made, id).needs).toContain(files?.id);
  expect(copyOf(made, "copy:default/default/image").needs).toContain(image?.id);
});

test("makePlan() rehearses nothing for mirrors, which wait for no rehearsal", () => {
  const made = plan([job("web1"), volumeJob("data", KEEP)], stateOf({ instances: [web1], volumes: [data] }));
  expect(rehearsalsIn(made)).toHaveLength(1);
  expect(copyOf(made, "copy:default/web1").needs).toEqual(["snapshot:default/web1"]);
  expect(copyOf(made, "copy:default/web1").marks).not.toHaveProperty("user.iab.rehearsed");
});

/** The same workload with a replica that has been copied under this key. */
function remembering(
  key: string,
  more: { source?: string; target?: string; tools?: string; certificate?: string } = {},
): State {
  const replica = replicaOf(web1, { snapshots: copied(HISTORY), config: { "user.iab.rehearsed": key } });
  const facts = {
    version: more.target ?? "7.0.2",
    driverVersions: { btrfs: more.tools ?? "6.14" },
    fingerprint: more.certificate ?? "backup",
  };
  return stateOf(
    { instances: [web1], facts: { version: more.source ?? "7.0.2", driverVersions: { btrfs: "6.14" } } },
    { instances: [replica], facts },
  );
}

const FIRST = plan([job("web1", KEEP)], remembering("none"));
const KEY = keyIn(FIRST, "copy:default/web1");

test("makePlan() remembers a passed rehearsal on the replicas that were copied after it", () => {
  expect(KEY).toBe("1 filesystem 7.0.2 btrfs 6.14 prod > 7.0.2 btrfs 6.14 backup");
  const again = plan([job("web1", KEEP)], remembering(KEY));
  expect(rehearsalsIn(again)).toEqual([]);
  expect(copyOf(again, "copy:default/web1").needs).toEqual(["snapshot:default/web1"]);
  expect(keyIn(again, "copy:default/web1")).toBe(KEY);
});

test("makePlan() takes a rehearsal that another replica remembers for its own", () => {
  const state = remembering(KEY);
  const source = { ...state.source, instances: [web1, instance("db1")] };
  const made = plan([job("web1", KEEP), job("db1", KEEP)], { ...state, source });
  expect(rehearsalsIn(made)).toEqual([]);
  expect(keyIn(made, "copy:default/db1")).toBe(KEY);
});

test.each([{ source: "7.1.0" }, { target: "6.0.4" }, { tools: "6.15" }, { certificate: "another" }])(
  "makePlan() rehearses anew where something is not as it was: %j",
  (more) => {
    const made = plan([job("web1", KEEP)], remembering(KEY, more));
    expect(rehearsalsIn(made)).toHaveLength(1);
    expect(keyIn(made, "copy:default/web1")).not.toBe(KEY);
  },
);

test("makePlan() rehearses before a fresh copy and before one that catches up, too", () => {
  const reseeded = plan([job("web1", KEEP)], remembering("old"), { reseed: ["web1"] });
  expect(copyOf(reseeded, "reseed:default/web1").needs).toContain(rehearsalsIn(reseeded)[0]?.id);
  const withForeign = instance("web1", { snapshots: [...HISTORY, named("snap0", 1)] });
  const behind = replicaOf(web1, { snapshots: copied(HISTORY) });
  const made = plan([job("web1", KEEP)], stateOf({ instances: [withForeign] }, { instances: [behind] }));
  const id = rehearsalsIn(made)[0]?.id;
  expect(copyOf(made, "catch-up:default/web1").needs).toContain(id);
  expect(copyOf(made, "copy:default/web1").needs).toContain(id);
});

const SCRATCH = { "user.iab.rehearsal": "prod-backup" };

test("makePlan() takes no scratch volume for a workload, and tells of those that nobody will remove", () => {
  const left = volume("iab-rehearsal-prod-backup-zfs-zfs-block", { config: SCRATCH });
  const own = volume("iab-rehearsal-mine");
  const state = stateOf({ volumes: [data, left, own] }, { volumes: [volumeReplicaOf(data)] });
  const made = plan([volumeJob("*")], state);
  expect(made.steps.filter(({ kind }) => kind === "copy").map(({ id }) => id)).toEqual([
    "copy:default/default/data",
    "copy:default/default/iab-rehearsal-mine",
  ]);
  expect(made.warnings).toEqual([
    {
      code: "rehearsal.leftover",
      workload: undefined,
      text: "default/iab-rehearsal-prod-backup-zfs-zfs-block on prod is left from a rehearsal. If none is running: incus storage volume delete default iab-rehearsal-prod-backup-zfs-zfs-block --project default",
    },
  ]);
});

test("makePlan() says nothing of scratch volumes that this run's rehearsal removes first", () => {
  const left = volume("iab-rehearsal-prod-backup-btrfs-btrfs-filesystem", { config: SCRATCH });
  expect(plan([volumeJob("data", KEEP)], stateOf({ volumes: [data, left] })).warnings).toEqual([]);
});
