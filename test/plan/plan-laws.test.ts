import fc from "fast-check";
import { expect, test } from "vitest";
import { isOwnSnapshotName } from "../../src/model/snapshot.ts";
import { NOW } from "./fixtures.ts";
import { type Crash, type Setting, Simulator } from "./simulator.ts";

/** Enough for a change that breaks a law to be caught; a law is new only after it has held a hundred times as often. */
const RUNS = 100;

const POLICIES = ["", "1", "2", "5", "6h2d", "1d3d", "1,1d4d", "3h1d,1d1w"];

const settings: fc.Arbitrary<Setting> = fc.record({
  storage: fc.constantFrom("btrfs", "zfs-6.0", "zfs-7.0", "dir", "mixed"),
  history: fc.constantFrom("mirror", "keep"),
  keep: fc.constantFrom(...POLICIES),
  keepOnTarget: fc.constantFrom(...POLICIES),
});

const crashes: fc.Arbitrary<Crash> = fc.record({
  atStep: fc.nat(9),
  afterParts: fc.nat(4),
  withServers: fc.boolean(),
});

type Event =
  | { readonly kind: "run" }
  | { readonly kind: "crash"; readonly crash: Crash }
  | { readonly kind: "foreign" }
  | { readonly kind: "delete"; readonly place: number };

const events: fc.Arbitrary<Event> = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ kind: "run" } as const) },
  { weight: 3, arbitrary: crashes.map((crash) => ({ kind: "crash", crash }) as const) },
  { weight: 1, arbitrary: fc.constant({ kind: "foreign" } as const) },
  { weight: 1, arbitrary: fc.nat(20).map((place) => ({ kind: "delete", place }) as const) },
);

const hours = fc.integer({ min: 1, max: 30 });
const histories = fc.array(fc.tuple(events, hours), { minLength: 2, maxLength: 25 });

function apply(simulator: Simulator, event: Event): void {
  switch (event.kind) {
    case "run":
      simulator.run();
      return;
    case "crash":
      simulator.run(event.crash);
      return;
    case "foreign":
      simulator.takeForeign();
      return;
    case "delete":
      simulator.deleteOnSource(event.place);
      return;
  }
}

/** What the target lacks although the source has it and something newer has arrived. */
function gapsOf({ source, replica }: Simulator): string[] {
  const there = (replica?.held ?? []).map(({ snapshot }) => snapshot.name);
  const newest = source.findLastIndex(({ snapshot }) => there.includes(snapshot.name));
  return source
    .slice(0, Math.max(newest, 0))
    .flatMap(({ snapshot }) => (there.includes(snapshot.name) ? [] : [snapshot.name]));
}

test("makePlan() never damages a replica, wherever its runs die and whatever people do on the source", () => {
  fc.assert(
    fc.property(settings, histories, (setting, history) => {
      const simulator = new Simulator(setting, NOW);
      for (const [event, passed] of history) {
        apply(simulator, event);
        expect(simulator.wrongs).toEqual([]);
        if (!simulator.gapSafe) expect(gapsOf(simulator)).toEqual([]);
        simulator.pass(passed);
      }
    }),
    { numRuns: RUNS },
  );
});

/** Foreign snapshots between ours, and one of them deleted by hand, can leave btrfs no order to send in. */
function mayBeHelpless({ storage }: Setting, history: readonly (readonly [Event, number])[]): boolean {
  const hands = new Set(history.map(([{ kind }]) => kind));
  return storage === "btrfs" && hands.has("foreign") && hands.has("delete");
}

const TOLD_AS_HELPLESS = {
  failed: true,
  why: expect.stringMatching(/^btrfs would send /),
  hint: expect.stringMatching(/--reseed/),
};

test("makePlan() heals without help: after whatever has happened on the source, one run brings the target up to date", () => {
  fc.assert(
    fc.property(settings, histories, (setting, history) => {
      const simulator = new Simulator(setting, NOW);
      simulator.run();
      for (const [event, passed] of history) {
        // Who deletes the base by hand has to reseed; that is told apart below.
        const base = simulator.newestCommon();
        apply(simulator, event);
        if (simulator.newestCommon() === undefined && base !== undefined) return;
        simulator.pass(passed);
      }
      const { skipped } = simulator.run();
      if (mayBeHelpless(setting, history) && skipped.length > 0) {
        expect(skipped).toEqual([expect.objectContaining(TOLD_AS_HELPLESS)]);
        return;
      }
      expect(skipped).toEqual([]);
      const contents = new Map(simulator.source.map(({ snapshot, content }) => [snapshot.name, content]));
      // What cannot be taken back and sent again is warned of; somebody else's is not ours to take back at all.
      const held = (simulator.replica?.held ?? []).filter(
        ({ snapshot: { name } }) => isOwnSnapshotName(name) && !simulator.doubted.has(name),
      );
      for (const { snapshot, content } of held)
        if (contents.has(snapshot.name))
          expect([snapshot.name, content]).toEqual([snapshot.name, contents.get(snapshot.name)]);
      expect(held.filter(({ content }) => content === undefined)).toEqual([]);
      const own = simulator.source.filter(({ snapshot: { name } }) => isOwnSnapshotName(name));
      expect(own.at(-1)?.snapshot.name).toBe(held.at(-1)?.snapshot.name);
    }),
    { numRuns: RUNS },
  );
});

test("makePlan() refuses over a gap that a person made on the target, unless it does no harm there", () => {
  fc.assert(
    fc.property(settings, histories, fc.nat(20), (setting, history, place) => {
      const simulator = new Simulator(setting, NOW);
      for (const [event, passed] of history) {
        apply(simulator, event);
        simulator.pass(passed);
      }
      simulator.run();
      simulator.pass(1);
      const deleted = simulator.deleteOnTarget(place);
      const gaps = gapsOf(simulator);
      const { skipped, steps } = simulator.run();
      expect(simulator.wrongs).toEqual([]);
      if (deleted !== undefined && gaps.length > 0 && !simulator.gapSafe) {
        expect(skipped[0]?.why).toContain(deleted);
        expect(steps).toEqual([]);
      }
    }),
    { numRuns: RUNS },
  );
});

test("makePlan() prunes nothing that is not ours, and nothing without its copy", () => {
  fc.assert(
    fc.property(settings, histories, (setting, history) => {
      const simulator = new Simulator(setting, NOW);
      for (const [event, passed] of history) {
        const { steps } = simulator.plan();
        const prunes = steps.filter((step) => step.kind === "prune");
        expect(prunes.flatMap(({ removals }) => removals).filter(({ name }) => !isOwnSnapshotName(name))).toEqual([]);
        for (const prune of prunes.filter(({ id }) => !id.startsWith("retract-")))
          expect(prune.needs.some((id) => id.startsWith("copy:") || id.startsWith("reseed:"))).toBe(true);
        const [onSource, onTarget] = ["source", "target"].map((side) =>
          prunes
            .filter((prune) => prune.side === side && !prune.id.startsWith("retract-"))
            .flatMap(({ removals }) => removals.map(({ name }) => name)),
        );
        const still = simulator.source.map(({ snapshot }) => snapshot.name).filter((name) => !onSource?.includes(name));
        if (!simulator.gapSafe || setting.history === "keep")
          expect(still.filter((name) => onTarget?.includes(name))).toEqual([]);
        apply(simulator, event);
        simulator.pass(passed);
      }
    }),
    { numRuns: RUNS },
  );
});

test("makePlan() with kept history loses nothing that the target's policy keeps, however often the source forgets", () => {
  fc.assert(
    fc.property(settings, histories, (setting, history) => {
      const simulator = new Simulator({ ...setting, history: "keep", keepOnTarget: "" }, NOW);
      const proven = new Set<string>();
      for (const [event, passed] of history) {
        const base = simulator.newestCommon();
        apply(simulator, event);
        if (simulator.newestCommon() === undefined && base !== undefined) return;
        const there = new Set(simulator.replica?.held.map(({ snapshot }) => snapshot.name));
        expect([...proven].filter((name) => !there.has(name))).toEqual([]);
        if (event.kind === "run") for (const name of there) proven.add(name);
        simulator.pass(passed);
      }
    }),
    { numRuns: RUNS },
  );
});
