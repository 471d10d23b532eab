import { expect, test } from "vitest";
import type { Job } from "../../src/model/job.ts";
import { takeStock } from "../../src/plan/take-stock.ts";
import { copied, instance, job, NOW, named, own, plan, RUN, replicaOf, stateOf, stepOf } from "./fixtures.ts";

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

test("makePlan() notices that kept history is gone, and sets what was remembered against what is there", () => {
  const lost = { "user.iab.kept": JSON.stringify([own(300).name, own(200).name]) };
  const text = `web1 on the target has lost 1 of the 2 snapshots that the last run left there: ${own(300).name}`;
  expect(plan([keeping], state(lost)).warnings).toMatchObject([{ code: "history.lost", text }]);
  expect(plan([keeping], state({ "user.iab.kept": "spoilt" })).warnings).toEqual([]);
});

test("makePlan() names the first of many that are lost", () => {
  const names = Array.from({ length: 12 }, (_, i) => own(300 + i).name);
  const [warning] = plan([keeping], state({ "user.iab.kept": JSON.stringify(names) })).warnings;
  expect(warning?.text).toContain(`lost 12 of the 12 snapshots that the last run left there: ${names[0]}, ${names[1]}`);
  expect(warning?.text).toContain(`${names[9]} and 2 more`);
});

/** A refresh by hand gives the replica the source's configuration, and leaves its root volume's. */
function refreshedByHand(rootConfig?: Record<string, string>) {
  const bare = instance("web1", { snapshots: copied(HISTORY), ...(rootConfig === undefined ? {} : { rootConfig }) });
  return stateOf({ instances: [web1] }, { instances: [bare] });
}

test("makePlan() notices what a refresh by hand has destroyed by what the root volume remembers", () => {
  const names = [...FORGOTTEN, ...HISTORY].map(({ name }) => name);
  const made = plan([keeping], refreshedByHand({ "user.iab.kept": JSON.stringify(names) }));
  const gone = FORGOTTEN.map(({ name }) => name).join(", ");
  const text = `web1 on the target has lost 3 of the 6 snapshots that the last run left there: ${gone}`;
  expect(made.warnings).toMatchObject([{ code: "history.lost", text }]);
  expect(made.steps.map(({ kind }) => kind)).toEqual(["rehearse", "snapshot", "adopt", "copy"]);
});

test("makePlan() notices that a replica has lost its marks, and nothing tells what was there", () => {
  expect(plan([keeping], refreshedByHand()).warnings).toMatchObject([
    { code: "history.lost", text: expect.stringContaining("bears no mark of ours") },
  ]);
});

test("takeStock() counts what is lost, for a target that keeps history only", () => {
  const names = [...FORGOTTEN, ...HISTORY].map(({ name }) => name);
  const found = refreshedByHand({ "user.iab.kept": JSON.stringify(names) });
  const lost = (of: Job) => takeStock([of], found, NOW).rows.map((row) => row.lost);
  expect(lost(keeping)).toEqual([[], FORGOTTEN.map(({ name }) => name)]);
  expect(lost(job("web1"))).toEqual([[], []]);
  expect(takeStock([keeping], state(), NOW).rows.map((row) => row.lost)).toEqual([[], []]);
});
