import { expect, test } from "vitest";
import { awaitRest } from "../../src/inventory/await-rest.ts";
import type { Clock } from "../../src/model/ports.ts";
import type { Unit } from "../../src/model/unit.ts";
import { instance, volume } from "../execute/steps.ts";
import { job, volumeJob } from "../plan/fixtures.ts";

const web1 = instance("web1");
const never = new AbortController().signal;

/** A target that is at work on each of these for so many looks. */
function at(work: readonly (readonly [Unit, number])[]) {
  let looks = 0;
  let now = 0;
  const clock: Clock = {
    now: () => now,
    sleep: async (durationMs) => {
      now += durationMs;
    },
  };
  const busy = async () => {
    looks += 1;
    return work.flatMap(([unit, until]) => (looks <= until ? [unit] : []));
  };
  return { target: { busy }, clock, looks: () => looks };
}

test("awaitRest() waits until the target is done with the replicas", async () => {
  const { target, clock, looks } = at([[web1, 3]]);
  const told: (readonly Unit[])[] = [];
  const onWait = (units: readonly Unit[]) => void told.push(units);
  expect(await awaitRest([job("web1")], target, { clock, patienceMs: 40_000, onWait }, never)).toEqual([]);
  expect(looks()).toBe(4);
  expect(told).toEqual([[web1]]);
});

test("awaitRest() waits no longer than it is told to, and gives what the target is still at work on", async () => {
  const { target, clock } = at([[web1, 100]]);
  expect(await awaitRest([job("web1")], target, { clock, patienceMs: 40_000 }, never)).toEqual([web1]);
  expect(clock.now()).toBe(41_000);
});

const meant: readonly { readonly name: string; readonly isMeant: boolean }[] = [
  { name: "web*", isMeant: true },
  { name: "db*", isMeant: false },
  { name: "web", isMeant: false },
];

test.each(meant)("awaitRest() does not wait for what is no replica of a job: $name", async ({ name, isMeant }) => {
  const { target, clock } = at([[web1, 100]]);
  const busy = await awaitRest([job(name), volumeJob("web1")], target, { clock, patienceMs: 0 }, never);
  expect(busy).toEqual(isMeant ? [web1] : []);
});

test("awaitRest() does not wait for volumes", async () => {
  const data = { ...volume("data"), pool: "default" };
  const { target, clock } = at([[data, 100]]);
  expect(await awaitRest([volumeJob("data")], target, { clock, patienceMs: 40_000 }, never)).toEqual([]);
  expect(clock.now()).toBe(0);
});
