import { expect, test } from "vitest";
import type { Instance } from "../../src/model/state.ts";
import { SECOND_MS } from "../../src/model/time.ts";
import { instance, job, NOW, own, plan, replicaOf, stateOf, stepOf, volume, volumeJob } from "./fixtures.ts";

const STOPPED_BY = { "user.iab.stopped": "IAB_20261119-040000" };

const stopping: { name: string; source: Partial<Instance>; stop: boolean; warns?: string }[] = [
  { name: "a running instance", source: { status: "Running" }, stop: true },
  { name: "not a stopped one", source: { status: "Stopped" }, stop: false },
  { name: "not a crashed one", source: { status: "Error" }, stop: false },
  { name: "not a frozen one", source: { status: "Frozen" }, stop: false, warns: "is frozen" },
  {
    name: "not an ephemeral one",
    source: { status: "Running", ephemeral: true },
    stop: false,
    warns: "would be deleted",
  },
  { name: "one that is first started again", source: { status: "Stopped", config: STOPPED_BY }, stop: true },
];
for (const { name, source, stop, warns } of stopping) {
  test(`makePlan() stops for its snapshot ${name}`, () => {
    const made = plan([job("web1", { stop: true })], stateOf({ instances: [instance("web1", source)] }));
    expect(stepOf(made, "snapshot").stop).toBe(stop);
    expect(made.warnings.map(({ code }) => code)).toEqual(warns === undefined ? [] : ["instance.not-stopped"]);
    if (warns !== undefined) expect(made.warnings[0]?.text).toContain(warns);
  });
}

test("makePlan() stops nothing that is not to be stopped", () => {
  const made = plan([job("web1")], stateOf({ instances: [instance("web1", { status: "Running" })] }));
  expect(stepOf(made, "snapshot").stop).toBe(false);
});

test("makePlan() first starts again what an earlier run left stopped, also where nothing else is done", () => {
  const web1 = instance("web1", { config: STOPPED_BY, snapshots: [own(24)] });
  const made = plan([job("web1")], stateOf({ instances: [web1] }));
  expect(stepOf(made, "recover")).toMatchObject({ id: "recover:default/web1", needs: [], unit: { name: "web1" } });
  expect(stepOf(made, "snapshot").needs).toEqual(["recover:default/web1"]);
  const blocked = plan(
    [job("web1")],
    stateOf({ instances: [web1] }, { instances: [replicaOf(web1, { status: "Running" })] }),
  );
  expect(blocked.steps.map(({ kind }) => kind)).toEqual(["recover"]);
});

test("makePlan() tells of an instance that a run left stopped and that no job names", () => {
  const made = plan([], stateOf({ instances: [instance("db1", { config: STOPPED_BY })] }));
  expect(made).toMatchObject({ steps: [], warnings: [{ code: "instance.left-stopped" }] });
});

test("makePlan() keeps two seconds between snapshots", () => {
  const at = (createdAt: number) => volume("data", { snapshots: [{ ...own(1), name: "manual", createdAt }] });
  const notBefore = (createdAt: number) =>
    stepOf(plan([volumeJob("data")], stateOf({ volumes: [at(createdAt)] })), "snapshot").notBefore;
  expect([NOW - 500, NOW - 2 * SECOND_MS, NOW + 1000].map(notBefore)).toEqual([NOW + 1500, undefined, NOW + 3000]);
});

test("makePlan() does not wait for a date that is far ahead, but says what it may mean", () => {
  const ahead = { ...own(-1), name: "manual" };
  const made = plan([volumeJob("data")], stateOf({ volumes: [volume("data", { snapshots: [ahead] })] }));
  expect(stepOf(made, "snapshot").notBefore).toBeUndefined();
  expect(made.warnings).toMatchObject([
    { code: "snapshot.future", text: expect.stringContaining("manual is dated 2026-11-20T05:00:00") },
  ]);
});
