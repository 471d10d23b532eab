import { expect, test } from "vitest";
import { copied, instance, job, named, own, plan, RUN, replicaOf, stateOf, stepOf } from "./fixtures.ts";

const HISTORY = [own(72), own(48), own(24)];
const FORGOTTEN = [own(200), named("mine", 150), own(100)];
const web1 = instance("web1", { snapshots: HISTORY });
const keeping = job("web1", { history: "keep", mode: "relay" });
const guids = (...all: string[]) => ({
  "user.iab.guids": JSON.stringify(Object.fromEntries(all.map((name) => [name, `g-${name}`]))),
});

function state(config: Record<string, string> = {}, driver = "btrfs") {
  const replica = replicaOf(web1, {
    snapshots: [...copied([own(200), own(100)]), named("mine", 150), ...copied(HISTORY)],
    config,
  });
  return stateOf({ driver, instances: [web1] }, { driver, instances: [replica] });
}

test("makePlan() leaves alone what only the target has, whosever it is, and expects it afterwards", () => {
  const copy = stepOf(plan([keeping], state()), "copy");
  expect(copy.copy.keep).toEqual([
    { name: own(200).name, createdAtExact: "2026-11-11T20:00:00Z", guid: undefined },
    { name: "mine", createdAtExact: "2026-11-13T22:00:00.123456789Z", guid: undefined },
    { name: own(100).name, createdAtExact: "2026-11-16T00:00:00Z", guid: undefined },
  ]);
  expect(copy.vanishes).toEqual([]);
  expect(copy.proof).toEqual([...FORGOTTEN, ...HISTORY].map(({ name }) => name).concat(RUN));
  expect(copy.copy.sends).toEqual([RUN]);
});

test("makePlan() remembers on the replica what will be there once the run is over", () => {
  const made = plan([job("web1", { history: "keep", mode: "relay", keepOnTarget: "2" })], state());
  const removed = made.steps.flatMap((step) => (step.kind === "prune" && step.side === "target" ? step.removals : []));
  expect(removed.map(({ name }) => name)).toEqual([own(200).name, own(100).name]);
  expect(JSON.parse(stepOf(made, "copy").marks["user.iab.kept"] ?? "")).toEqual([
    "mine",
    ...HISTORY.map(({ name }) => name),
    RUN,
  ]);
});

test("makePlan() hands on the GUIDs that ZFS needs, as far as they are remembered, and guesses none", () => {
  const handedOn = (config: Record<string, string>, driver = "zfs") =>
    stepOf(plan([keeping], state(config, driver)), "copy").copy.keep.map(({ guid }) => guid);
  const [oldest, mine] = [`g-${own(200).name}`, "g-mine"];
  expect(handedOn(guids(own(200).name, "mine"))).toEqual([oldest, mine, undefined]);
  expect(handedOn({ "user.iab.guids": "{" })).toEqual([undefined, undefined, undefined]);
  expect(handedOn({ "user.iab.guids": "[1]" })).toEqual([undefined, undefined, undefined]);
  expect(handedOn(guids(own(200).name, "mine"), "btrfs")).toEqual([undefined, undefined, undefined]);
});

test("makePlan() does not refresh where a name means one snapshot on the source and another on the target", () => {
  const again = instance("web1", { snapshots: [...HISTORY, named("mine", 1)] });
  const replica = replicaOf(web1, { snapshots: [named("mine", 150), ...copied(HISTORY)] });
  const made = plan([keeping], stateOf({ instances: [again] }, { instances: [replica] }));
  expect(made.skipped[0]?.why).toBe("mine was made anew on the source: the target's own of that name would be lost");
});

test("makePlan() notices that kept history is gone", () => {
  const lost = { "user.iab.kept": JSON.stringify([own(300).name, own(200).name]) };
  expect(plan([keeping], state(lost)).warnings).toMatchObject([
    { code: "history.lost", text: `Lost from web1 on the target since the last run: ${own(300).name}` },
  ]);
  expect(plan([keeping], state({ "user.iab.kept": "spoilt" })).warnings).toEqual([]);
});

test("makePlan() notices that a replica has lost its marks, as it does in a refresh by hand", () => {
  const bare = instance("web1", { snapshots: copied(HISTORY) });
  const made = plan([keeping], stateOf({ instances: [web1] }, { instances: [bare] }));
  expect(made.warnings).toMatchObject([
    { code: "history.lost", text: expect.stringContaining("bears no mark of ours") },
  ]);
  expect(made.steps.map(({ kind }) => kind)).toEqual(["snapshot", "adopt", "copy"]);
});
