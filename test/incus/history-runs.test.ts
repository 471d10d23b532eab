import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import type { Copy, KeptSnapshot } from "../../src/model/copy.ts";
import { unitLabel } from "../../src/model/unit.ts";
import type { Driver } from "../fakes/incus/state.ts";
import { copyOfInstance, copyOfVolume, type FakePair, openFakePair } from "./fake-pair.ts";
import { simulate } from "./history-simulation.ts";

const GENERATIONS = ["6.0", "7.0"] as const;
const DRIVERS: readonly Driver[] = ["btrfs", "dir", "zfs"];
const KINDS = ["instance", "volume"] as const;
type Kind = (typeof KINDS)[number];

/** A pair whose clocks go on by a second with every look, so that no two snapshots are of the same second. */
async function openPair(sourceDriver: Driver, targetDriver: Driver, generation: "6.0" | "7.0" = "7.0") {
  let now = Date.UTC(2026, 0, 1);
  const clock = () => {
    now += 1000;
    return now;
  };
  return openFakePair({
    source: { generation, driver: sourceDriver, now: clock },
    target: { generation, driver: targetDriver, now: clock },
  });
}

function copyOf(pair: FakePair, kind: Kind): Copy {
  const seed = { name: "unit", content: "x".repeat(5000) };
  if (kind === "instance") return copyOfInstance(pair.source.addInstance(seed), { mode: "relay" });
  return copyOfVolume(pair.source.addVolume(seed), { mode: "relay" });
}

function held({ target }: FakePair, { target: unit }: Copy): { name: string; createdAtExact: string }[] {
  if (!target.has(unit)) return [];
  const dates = target.dates(unit);
  return target.snapshots(unit).map((name, i) => ({ name, createdAtExact: dates[i] ?? "" }));
}

/** What the target holds, with the GUIDs that a replica remembers. */
function keepAll(pair: FakePair, copy: Copy, guids: Readonly<Record<string, string>> = {}): KeptSnapshot[] {
  return held(pair, copy).map((snapshot) => ({ ...snapshot, guid: guids[snapshot.name] }));
}

for (const generation of GENERATIONS) {
  for (const driver of DRIVERS) {
    test.each(KINDS)(`many runs keep the history of a(n) %s on ${driver}, ${generation}`, async (kind) => {
      const pair = await openPair(driver, driver, generation);
      const copy = copyOf(pair, kind);
      const { source, target } = pair;
      const digest = (fake: typeof source, name: string) => fake.digest(copy.source, name) ?? `no ${name}`;
      const simulated = {
        name: `${kind} on ${driver}, ${generation}`,
        changeSource: async (seed: string) => source.setContent(copy.source, seed.repeat(500)),
        takeSnapshot: async (name: string) => source.takeSnapshot(copy.source, name),
        targetSnapshots: async () => held(pair, copy),
        deleteSnapshot: async (side: "source" | "target", name: string) => pair[side].deleteSnapshot(copy.source, name),
        digest: async (side: "source" | "target", name: string) => digest(pair[side], name),
        copy: (keep: Copy["keep"], sends: readonly string[]) => pair.copy({ ...copy, keep, sends }),
      };
      const policies = { sourcePolicy: "2", targetPolicy: "1h1d,1d1w,1w1m" };
      const seen = await simulate(simulated, { runs: 24, days: 24, ...policies });
      expect(seen.expected.target.length).toBeGreaterThan(6);
      expect(target.snapshots(copy.target)).toEqual(seen.expected.target);
      expect(target.datasets(copy.target)).toEqual(seen.expected.target);
      for (const name of seen.expected.target) expect(digest(target, name)).toBe(seen.digests.get(name));
      // What is asked for its GUIDs and let go is not cancelled too: a daemon before 7.0.1 may not survive that.
      expect(target.requests.filter(({ method, path }) => method === "DELETE" && /operations/.test(path))).toEqual([]);
      if (driver === "zfs") expect(Object.fromEntries(seen.guids)).toMatchObject(target.guids(copy.target));
    });
  }
}

type HistoryOptions = { readonly generation?: "6.0" | "7.0"; readonly kind?: Kind };

async function withHistory(sourceDriver: Driver, targetDriver: Driver, options: HistoryOptions = {}) {
  const pair = await openPair(sourceDriver, targetDriver, options.generation);
  const copy = copyOf(pair, options.kind ?? "instance");
  let guids: Readonly<Record<string, string>> = {};
  for (const name of ["s1", "s2", "s3"]) {
    pair.source.setContent(copy.source, name.repeat(1000));
    pair.source.takeSnapshot(copy.source, name);
    const copied = await pair.copy({ ...copy, keep: keepAll(pair, copy, guids), sends: [name] });
    guids = { ...guids, ...copied.guids };
  }
  pair.source.deleteSnapshot(copy.source, "s1");
  pair.source.takeSnapshot(copy.source, "s4");
  return { pair, copy, guids };
}

test("without the addition a refresh deletes what the source has forgotten: the control of all these tests", async () => {
  const { pair, copy } = await withHistory("btrfs", "btrfs");
  await pair.copy(copy);
  expect(pair.target.snapshots(copy.target)).toEqual(["s2", "s3", "s4"]);
});

const pairs = DRIVERS.flatMap((from) => DRIVERS.map((to) => ({ from, to })));
test.each(pairs)("copy() keeps history from $from to $to", async ({ from, to }) => {
  const { pair, copy, guids } = await withHistory(from, to);
  await pair.copy({ ...copy, keep: keepAll(pair, copy, guids), sends: ["s4"] });
  expect(pair.target.snapshots(copy.target)).toEqual(["s1", "s2", "s3", "s4"]);
  expect(pair.target.datasets(copy.target)).toEqual(["s1", "s2", "s3", "s4"]);
});

test("copy() tells the GUIDs that a replica on ZFS has to remember", async () => {
  const { pair, copy, guids } = await withHistory("zfs", "zfs");
  expect(guids).toEqual(pair.target.guids(copy.target));
});

for (const generation of GENERATIONS) {
  test(`copy() asks the target on ZFS, ${generation}, for GUIDs that nobody remembers`, async () => {
    const { pair, copy } = await withHistory("zfs", "zfs", { generation });
    await pair.copy({ ...copy, keep: keepAll(pair, copy), sends: ["s4"] });
    expect(pair.target.snapshots(copy.target)).toEqual(["s1", "s2", "s3", "s4"]);
    expect(pair.target.datasets(copy.target)).toEqual(["s1", "s2", "s3", "s4"]);
  });

  test(`copy() refuses on ZFS, ${generation}, what is not what was remembered, and nothing is lost`, async () => {
    const { pair, copy, guids } = await withHistory("zfs", "zfs", { generation });
    const before = pair.target.state();
    const keep = keepAll(pair, copy, { ...guids, s1: "4711" });
    const failed = pair.copy({ ...copy, keep, sends: ["s4"] });
    await expect(failed).rejects.toMatchObject({ code: "history.refused" });
    await expect(failed).rejects.toThrow("the target does not hold s1 as remembered");
    expect(pair.target.state()).toEqual(before);
  });
}

const lies = [
  {
    name: "asks for an invented snapshot",
    what: { kind: "ask-for", names: ["s1"] },
    says: "the target asks for s1, which it has and the source has not",
  },
  {
    name: "offers an unknown header version",
    what: { kind: "header-version", version: 7 },
    says: "the target speaks version 7 of the index header",
  },
] as const;
const CONTENT_BYTES = 1_000_000;

for (const { name, what, says } of lies) {
  test.each(DRIVERS.flatMap((driver) => KINDS.map((kind) => ({ driver, kind }))))(
    `copy() of a(n) $kind on $driver aborts before data when the target ${name}, and nothing is deleted`,
    async ({ driver, kind }) => {
      const { pair, copy, guids } = await withHistory(driver, driver, { kind });
      pair.source.setContent(copy.source, randomBytes(CONTENT_BYTES));
      pair.source.takeSnapshot(copy.source, "s5");
      const before = pair.target.state();
      const going = { ...copy, keep: keepAll(pair, copy, guids), sends: ["s4", "s5"] };
      pair.target.faults.add({ match: { method: "POST", path: /(instances|custom)$/ }, what });
      const passedBefore = pair.bytesToTarget();
      const failed = pair.copy(going);
      await expect(failed).rejects.toMatchObject({ code: "history.refused", hint: expect.any(String) });
      await expect(failed).rejects.toThrow(`Cannot keep the history of ${unitLabel(copy.target)}: ${says}`);
      expect(pair.target.state()).toEqual(before);
      expect(pair.bytesToTarget() - passedBefore).toBeLessThan(CONTENT_BYTES / 10);

      pair.target.faults.clear();
      await pair.copy(going);
      expect(pair.target.snapshots(copy.target)).toEqual(["s1", "s2", "s3", "s4", "s5"]);
      expect(pair.bytesToTarget() - passedBefore).toBeGreaterThan(CONTENT_BYTES);
    },
  );
}

test("copy() aborts when the target asks for more than the plan sends", async () => {
  const { pair, copy } = await withHistory("btrfs", "btrfs");
  pair.source.takeSnapshot(copy.source, "by-hand");
  const before = pair.target.state();
  const failed = pair.copy({ ...copy, keep: keepAll(pair, copy), sends: ["s4"] });
  await expect(failed).rejects.toThrow("the target asks for by-hand, which the plan does not send");
  expect(pair.target.state()).toEqual(before);
});

test("copy() spares what the source forgets between the plan and the copy", async () => {
  const { pair, copy } = await withHistory("btrfs", "btrfs");
  const keep = keepAll(pair, copy);
  pair.source.deleteSnapshot(copy.source, "s2");
  await pair.copy({ ...copy, keep, sends: ["s4"] });
  expect(pair.target.snapshots(copy.target)).toEqual(["s1", "s2", "s3", "s4"]);
});

test("copy() spares what came to the target between the plan and the copy, or what the plan overlooked", async () => {
  const { pair, copy } = await withHistory("zfs", "zfs");
  await pair.copy({ ...copy, keep: [], sends: ["s4"] });
  expect(pair.target.snapshots(copy.target)).toEqual(["s1", "s2", "s3", "s4"]);
  expect(pair.target.datasets(copy.target)).toEqual(["s1", "s2", "s3", "s4"]);
});

test("copy() refuses when what was to be kept is gone already", async () => {
  const { pair, copy, guids } = await withHistory("btrfs", "btrfs");
  const keep = keepAll(pair, copy, guids);
  pair.target.deleteSnapshot(copy.target, "s1");
  const before = pair.target.state();
  const failed = pair.copy({ ...copy, keep, sends: ["s4"] });
  await expect(failed).rejects.toMatchObject({ code: "history.refused" });
  await expect(failed).rejects.toThrow("the target no longer has s1");
  expect(pair.target.state()).toEqual(before);
});
