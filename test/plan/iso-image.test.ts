import { expect, test } from "vitest";
import type { Volume } from "../../src/model/state.ts";
import { takeStock } from "../../src/plan/take-stock.ts";
import { facts, instance, job, NOW, plan, stateOf, volume, volumeJob } from "./fixtures.ts";

const IMAGE = "ISO_20251110-040000";
const OURS = { "user.iab.source": "prod:default/default/cd" };

function image(more: Partial<Volume> = {}): Volume {
  return volume("cd", { contentType: "iso", ...more });
}

/** What a run decides about an image and what is in its place on the target. */
function decided(replica: Volume | undefined, more: { reseed?: string[] } = {}) {
  const target = replica === undefined ? {} : { volumes: [replica] };
  return plan([volumeJob("cd")], stateOf({ volumes: [image()] }, target), more);
}

test("makePlan() copies an ISO image as it is, without a snapshot, and marks which one it was", () => {
  const { steps, skipped, warnings } = decided(undefined);
  expect([steps.map(({ id }) => id), skipped, warnings]).toEqual([["copy:default/default/cd"], [], []]);
  expect(steps[0]).toMatchObject({
    needs: [],
    sends: [IMAGE],
    proof: [],
    marks: {},
    copy: { create: { contentType: "iso", config: { ...OURS, "user.iab.last": IMAGE } } },
  });
});

test("makePlan() leaves an image alone whose copy is there, and calls that no failure", () => {
  const { steps, skipped } = decided(image({ config: { ...OURS, "user.iab.last": IMAGE } }));
  expect([steps, skipped]).toMatchObject([[], [{ why: expect.stringContaining("does not change"), failed: false }]]);
});

const refused: { name: string; replica: Partial<Volume>; why: string; hint: string }[] = [
  { name: "one that is not ours", replica: {}, why: "no mark of ours", hint: "Rename it" },
  {
    name: "one of an image that was made anew",
    replica: { config: { ...OURS, "user.iab.last": "ISO_20240101-000000" } },
    why: "was made anew on the source",
    hint: "incus storage volume delete default cd --project default",
  },
];
for (const { name, replica, why, hint } of refused) {
  test(`makePlan() does not touch ${name} on the target`, () => {
    const { steps, skipped } = decided(image(replica));
    expect([steps, skipped]).toMatchObject([[], [{ failed: true }]]);
    expect(skipped[0]?.why).toContain(why);
    expect(skipped[0]?.hint).toContain(hint);
  });
}

test("makePlan() puts no fresh copy of an image in the old one's place, and says what to do", () => {
  const { steps, skipped } = decided(image({ config: { ...OURS, "user.iab.last": IMAGE } }), {
    reseed: ["default/cd"],
  });
  expect([steps, skipped]).toMatchObject([
    [],
    [{ failed: true, hint: expect.stringContaining("incus storage volume delete default cd") }],
  ]);
});

test("makePlan() keeps the device of an instance that uses an image, and waits for its first copy", () => {
  const root = { type: "disk", path: "/", pool: "default" };
  const devices = { root, cd: { type: "disk", pool: "default", source: "cd" } };
  const made = plan(
    [volumeJob("cd"), job("web1")],
    stateOf({ volumes: [image()], instances: [instance("web1", { devices })] }, { facts: facts("backup") }),
  );
  const copy = made.steps.find(({ id }) => id === "copy:default/web1");
  expect(copy?.needs).toContain("copy:default/default/cd");
  expect(copy).toMatchObject({ copy: { create: { devices: { cd: devices.cd } } } });
});

test("takeStock() shows which image is held, and no lag", () => {
  const rows = (replica: Volume) =>
    takeStock([volumeJob("cd")], stateOf({ volumes: [image()] }, { volumes: [replica] }), NOW).rows;
  const held = rows(image({ config: { ...OURS, "user.iab.last": IMAGE } }));
  expect(held).toMatchObject([
    { side: "source", newest: { name: IMAGE } },
    { side: "target", proven: { name: IMAGE }, lagMs: undefined },
  ]);
  expect(rows(image({ config: OURS }))[1]?.proven).toBeUndefined();
});
