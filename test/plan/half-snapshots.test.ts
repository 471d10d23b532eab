import { expect, test } from "vitest";
import type { Instance } from "../../src/model/state.ts";
import { ALL, copied, facts, instance, job, named, own, plan, RUN, replicaOf, stateOf, stepOf } from "./fixtures.ts";

const [S1, S2] = [own(48), own(24)];
const BY_HAND = named("A-by-hand", 23);
const web1 = instance("web1", { snapshots: [S1, S2] });

/** The replica as the last run that was whole has left it, with what a cut copy has left since. */
function halved(source: Instance, halfSnapshots: readonly string[]): Instance {
  const config = { "user.iab.source": "prod:default/web1", "user.iab.last": S1.name };
  return { ...replicaOf(source, { snapshots: copied([S1]), config }), halfSnapshots };
}

test("makePlan() has a half of ours removed before the copy that sends it again", () => {
  const made = plan([job("web1")], stateOf({ instances: [web1] }, { instances: [halved(web1, [S2.name])] }));
  const mend = stepOf(made, "mend");
  expect(mend).toMatchObject({ names: [S2.name], copy: { mode: "relay", target: { name: "web1" } } });
  expect(stepOf(made, "copy")).toMatchObject({ sends: [S2.name, RUN], copy: { mode: "pull" } });
  expect(stepOf(made, "copy").needs).toContain(mend.id);
});

test("makePlan() has a half of ours removed before a fresh copy, which could not replace its replica else", () => {
  const state = stateOf({ instances: [web1] }, { instances: [halved(web1, [S2.name])] });
  const made = plan([job("web1")], state, { reseed: ["web1"] });
  expect(stepOf(made, "reseed").needs).toContain(stepOf(made, "mend").id);
});

test("makePlan() leaves a half that is not ours to a person, and says what helps", () => {
  const source = { ...web1, snapshots: [S1, S2, BY_HAND] };
  const replica = halved(source, [S2.name, BY_HAND.name]);
  const made = plan([job("web1")], stateOf({ instances: [source] }, { instances: [replica] }));
  expect(made.steps).toEqual([]);
  expect(made.skipped).toMatchObject([
    { failed: true, why: "its replica web1 keeps half of A-by-hand, from a copy that was cut off at its very end" },
  ]);
  expect(made.skipped[0]?.hint).toMatch(
    /^Run again after this, on the target as root: incus admin sql global "INSERT .*A-by-hand.* && incus snapshot delete web1 A-by-hand --project default$/,
  );
});

test("makePlan() copies past a half that is in the way of nothing, and makes no fresh copy that could not replace it", () => {
  const state = stateOf({ instances: [web1] }, { instances: [halved(web1, ["A-by-hand"])] });
  expect(stepOf(plan([job("web1")], state), "copy").sends).toEqual([S2.name, RUN]);
  expect(plan([job("web1")], state, { reseed: ["web1"] }).skipped[0]?.why).toContain("keeps half of A-by-hand");
});

test("makePlan() leaves halves to a server that gets rid of them by itself, but for those of a replica that has to go", () => {
  const can = { ...ALL, repairsHalves: true };
  const replicas = { instances: [halved(web1, [S2.name])], facts: facts("spare", { can }) };
  const state = stateOf({ instances: [web1] }, replicas);
  expect(plan([job("web1")], state).steps.map(({ kind }) => kind)).not.toContain("mend");
  expect(plan([job("web1")], state, { reseed: ["web1"] }).steps.map(({ kind }) => kind)).toContain("mend");
});
