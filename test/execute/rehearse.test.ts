import { expect, test } from "vitest";
import type { RehearseStep } from "../../src/model/plan.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { copyOf, execute, volume } from "./steps.ts";

const scratch = volume("iab-rehearsal-one-two");
const copied = volume("iab-rehearsal-one-two-copy");
const MARK = { "user.iab.rehearsal": "one-two" };
const [FORGOTTEN, COMMON] = ["IAB_20200101-000000", "IAB_20200102-000000"];

const made = copyOf(scratch, copied);
const STEP: RehearseStep = {
  kind: "rehearse",
  id: "rehearse:scratch",
  needs: [],
  workload: scratch,
  between: { source: { version: "6.0.4", driver: "btrfs" }, target: { version: "7.9.0", driver: "dir" } },
  copy: made.kind === "volume" ? { ...made, mode: "relay" } : failing(),
  mark: "one-two",
};

function failing(): never {
  throw new Error("not a volume");
}

function setUp() {
  const world = memoryWorld();
  const both = memoryServers(world.clock);
  let copies = 0;
  /** Does something to the target after the first or the second copy. */
  const after = (which: 1 | 2, spoil: () => void) => {
    both.intercept = async (call, effect) => {
      effect();
      if (call.verb !== "copy") return;
      copies += 1;
      if (copies === which) spoil();
    };
  };
  const outcome = async () => (await execute([STEP], both, world)).get(STEP.id);
  const left = () => [...both.source.units.keys(), ...both.target.units.keys()];
  return { world, both, after, outcome, left };
}

test("rehearse() keeps history on a scratch volume, reads it back, and leaves nothing behind", async () => {
  const { both, outcome, left } = setUp();
  expect(await outcome()).toEqual({ state: "done", bytes: 40 });
  expect(left()).toEqual([]);
  const changes = both.calls.filter((call) => !/ (config|snapshots)/.test(call)).map((call) => call.split(" ")[1]);
  expect(changes).toEqual([
    ...["createVolume", "copy", "deleteSnapshot", "createSnapshot", "copy", "contents"],
    ...["remove", "remove"],
  ]);
});

const spoilt: { name: string; when: 1 | 2; names?: (names: string[]) => string[]; content?: string; says: string }[] = [
  {
    name: "has lost the kept snapshot",
    when: 2,
    names: (names) => names.filter((name) => name !== FORGOTTEN),
    says: "IAB_20200101-000000 is missing on the target",
  },
  {
    name: "has lost the one in common",
    when: 2,
    names: (names) => names.filter((name) => name !== COMMON),
    says: "IAB_20200102-000000 is missing on the target",
  },
  {
    name: "lists the kept snapshot with other data behind it",
    when: 2,
    content: '[["same","AAAA"],["odd",""]]',
    says: "IAB_20200101-000000: same has another content; IAB_20200101-000000: empty is missing",
  },
  { name: "lacks one at once", when: 1, names: () => [], says: "IAB_20200101-000000 is missing on the target" },
];

test.each(spoilt)("rehearse() fails where the target $name, and leaves nothing behind", async (spoil) => {
  const { both, after, outcome, left } = setUp();
  after(spoil.when, () => {
    const unit = both.target.get(copied);
    const kept = spoil.names?.(unit.snapshots.map(({ name }) => name));
    unit.snapshots = unit.snapshots
      .filter(({ name }) => kept?.includes(name) ?? true)
      .map((each) => (each.name === FORGOTTEN ? { ...each, content: spoil.content ?? each.content } : each));
  });
  const message = /^The rehearsal of kept history from Incus 6\.0\.4 \(btrfs\) to Incus 7\.9\.0 \(dir\) failed: /;
  const ended = await outcome();
  expect(ended).toMatchObject({
    state: "failed",
    error: { code: "history.refused", message: expect.stringMatching(message) },
  });
  expect(ended).toMatchObject({ error: { message: expect.stringContaining(spoil.says) } });
  expect(ended).toMatchObject({ error: { hint: expect.stringContaining("no history is kept between them") } });
  expect(left()).toEqual([]);
});

test("rehearse() fails where the target holds a snapshot more than it should", async () => {
  const { both, after, outcome } = setUp();
  after(2, () => both.target.snapshot(copied, "more"));
  expect(await outcome()).toMatchObject({
    error: { message: expect.stringContaining("more is there and should not be") },
  });
});

test("rehearse() removes what an earlier one left behind, by its name and mark", async () => {
  const { both, outcome, left } = setUp();
  both.source.add(scratch, { config: MARK });
  both.target.add(copied, { config: MARK });
  expect(await outcome()).toMatchObject({ state: "done" });
  expect(left()).toEqual([]);
});

test.each([{}, { "user.iab.rehearsal": "one-three" }])(
  "rehearse() leaves a volume alone that only has the name, and refuses: %j",
  async (config) => {
    const { both, outcome, left } = setUp();
    both.target.add(copied, { config, content: "mine" });
    expect(await outcome()).toMatchObject({
      state: "failed",
      error: { message: expect.stringContaining("the target has a volume local/iab-rehearsal-one-two-copy") },
    });
    expect(left()).toEqual(["default/local/iab-rehearsal-one-two-copy"]);
    expect(both.target.get(copied).content).toBe("mine");
  },
);

test("rehearse() has not passed where its scratch volume does not go, and still removes the other one", async () => {
  const { both, outcome, left } = setUp();
  both.intercept = async (call, effect) => {
    if (call.verb === "remove" && call.side === "source") throw new Error("the pool is read-only");
    effect();
  };
  expect(await outcome()).toMatchObject({ state: "failed", error: { message: "the pool is read-only" } });
  expect(left()).toEqual(["default/local/iab-rehearsal-one-two"]);
});

test("rehearse() removes the scratch volumes when the run is ended in the middle of it", async () => {
  const { world, after, outcome, left } = setUp();
  after(1, () => world.interrupt("SIGTERM"));
  expect(await outcome()).toEqual({ state: "cancelled" });
  expect(left()).toEqual([]);
});
