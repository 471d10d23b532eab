import { expect, test } from "vitest";
import {
  copied,
  instance,
  job,
  NOW,
  named,
  names,
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

const history = [own(72), own(48), own(24)];

test("makePlan() of a first copy snapshots and sends everything", () => {
  const web1 = instance("web1", { snapshots: [named("manual", 50), ...history] });
  const made = plan([job("web1")], stateOf({ instances: [web1] }));
  expect(made.steps.map(({ id, needs }) => [id, needs])).toEqual([
    ["snapshot:default/web1", []],
    ["copy:default/web1", ["snapshot:default/web1"]],
  ]);
  const all = [own(72).name, "manual", own(48).name, own(24).name, RUN];
  expect(stepOf(made, "copy")).toMatchObject({ base: undefined, sends: all, proof: all, vanishes: [], dropped: [] });
  expect(made).toMatchObject({
    run: RUN,
    at: NOW,
    hosts: { source: "prod", target: "backup" },
    skipped: [],
    warnings: [],
  });
});

test("makePlan() of a later copy sends what is newer than the newest common snapshot", () => {
  const web1 = instance("web1", { snapshots: [...history, named("1-manual", 1)] });
  const made = plan(
    [job("web1")],
    stateOf({ instances: [web1] }, { instances: [replicaOf(web1, { snapshots: copied(history) })] }),
  );
  expect(stepOf(made, "copy")).toMatchObject({ base: own(24).name, sends: ["1-manual", RUN] });
  expect(stepOf(made, "copy").marks).toEqual({ "user.iab.source": "prod:default/web1", "user.iab.last": RUN });
});

test("makePlan() says what the refresh will delete, and does not expect it afterwards", () => {
  const web1 = instance("web1", { snapshots: history.slice(1) });
  const made = plan(
    [job("web1")],
    stateOf({ instances: [web1] }, { instances: [replicaOf(instance("web1", { snapshots: history }))] }),
  );
  expect(stepOf(made, "copy")).toMatchObject({
    vanishes: [{ name: own(72).name, reasons: ["the source no longer has it"] }],
    proof: [own(48).name, own(24).name, RUN],
  });
});

test("makePlan() prunes the source first, and on the target only what is really gone from it", () => {
  const web1 = instance("web1", { snapshots: [named("manual", 100), ...history] });
  const made = plan([job("web1", { keep: "2" })], stateOf({ instances: [web1] }, { instances: [replicaOf(web1)] }));
  const prunes = made.steps.filter((step) => step.kind === "prune");
  expect(
    prunes.map(({ id, needs, removals, onlyIfGoneFrom }) => ({ id, needs, removed: names(removals), onlyIfGoneFrom })),
  ).toEqual([
    {
      id: "prune-source:default/web1",
      needs: ["copy:default/web1"],
      removed: [own(72).name, own(48).name],
      onlyIfGoneFrom: undefined,
    },
    {
      id: "prune-target:default/web1",
      needs: ["copy:default/web1", "prune-source:default/web1"],
      removed: [own(72).name, own(48).name],
      onlyIfGoneFrom: job("web1").source,
    },
  ]);
  expect(prunes[0]?.removals[0]?.reasons).toEqual(["count: not among the newest 2"]);
});

test("makePlan() brings volumes before the instances that use them, with one name for all snapshots", () => {
  const data = volume("data", { snapshots: history });
  const disk = { type: "disk", pool: "default", source: "data", path: "/data" };
  const web1 = instance("web1", { devices: { root: { type: "disk", path: "/", pool: "default" }, data: disk } });
  const made = plan(
    [job("web1"), volumeJob("data")],
    stateOf({ instances: [web1], volumes: [data] }, { volumes: [volumeReplicaOf(data)] }),
  );
  expect(made.steps.map(({ id }) => id)).toEqual([
    "snapshot:default/default/data",
    "snapshot:default/web1",
    "copy:default/default/data",
    "copy:default/web1",
  ]);
  expect(made.steps.at(-1)?.needs).toEqual(["snapshot:default/web1", "copy:default/default/data"]);
  expect(made.steps.flatMap((step) => (step.kind === "snapshot" ? [step.name] : []))).toEqual([RUN, RUN]);
});

test("makePlan() counts this run's snapshot also where it has to wait for its second", () => {
  const web1 = instance("web1", { snapshots: [...history, own(0.0003)] });
  const made = plan([job("web1", { keep: "2" })], stateOf({ instances: [web1] }, { instances: [replicaOf(web1)] }));
  expect(stepOf(made, "snapshot").notBefore).toBeGreaterThan(NOW);
  const removed = made.steps.map((step) => (step.kind === "prune" ? names(step.removals) : []));
  expect(removed.filter((each) => each.length > 0)).toEqual([names(history), names(history)]);
});
