import { expect, test, vi } from "vitest";
import type { InstanceCopy } from "../../src/model/copy.ts";
import type { Mode } from "../../src/model/job.ts";
import type { InstanceUnit } from "../../src/model/unit.ts";
import type { FaultKind } from "../fakes/incus/faults.ts";
import type { Driver } from "../fakes/incus/state.ts";
import { copyOfInstance, type FakePair, openFakePair } from "./fake-pair.ts";

const DRIVERS: readonly Driver[] = ["btrfs", "dir"];

type Replicated = { readonly pair: FakePair; readonly unit: InstanceUnit };

/** An instance whose first snapshot has been copied, and a second one that is yet to be. */
async function replicate(driver: Driver): Promise<Replicated> {
  let now = Date.UTC(2026, 10, 20);
  const options = { driver, generation: "6.0", now: () => (now += 2000) } as const;
  const pair = await openFakePair({ source: options, target: options });
  const unit = pair.source.addInstance({ name: "web1", content: "one", snapshots: ["s1"] });
  await pair.copy(copyOf(unit));
  pair.source.setContent(unit, "two");
  pair.source.takeSnapshot(unit, "s2");
  return { pair, unit };
}

function copyOf(unit: InstanceUnit, mode: Mode = "relay"): InstanceCopy {
  return copyOfInstance(unit, { mode });
}

function halvesOf({ pair, unit }: Replicated): Promise<readonly string[]> {
  const volume = { unit, type: "container", pool: "local" } as const;
  return pair.servers.target.halfSnapshots(volume, new AbortController().signal);
}

/** Begins a copy, and gives it up when the target has all of the data and has not yet said so. */
async function giveUpAtTheEnd({ pair, unit }: Replicated, mode: Mode, afterMs: number): Promise<void> {
  const what: FaultKind = { kind: "slow-finish", afterMs };
  pair.target.faults.add({ match: { method: "POST", path: "/1.0/instances" }, what });
  const controller = new AbortController();
  const copied = pair.copy(copyOf(unit, mode), controller.signal);
  const there = () => pair.target.digest(unit, "s2");
  const arrived = vi.waitFor(() => expect(there()).toBe(pair.source.digest(unit, "s2")), { timeout: 15_000 });
  await Promise.race([arrived, copied]);
  controller.abort(new Error("enough"));
  await expect(copied).rejects.toThrow("enough");
}

function mend({ pair, unit }: Replicated, names: readonly string[]): Promise<void> {
  return pair.servers.mend(copyOf(unit), names, new AbortController().signal);
}

for (const driver of DRIVERS) {
  test(`copy() in relay mode hears a target on ${driver} out that has all of the data, when it is given up`, async () => {
    const replicated = await replicate(driver);
    await giveUpAtTheEnd(replicated, "relay", 200);
    expect(await halvesOf(replicated)).toEqual([]);
    expect(replicated.pair.target.snapshots(replicated.unit)).toEqual(["s1", "s2"]);
  });

  test(`mend() removes what a target on ${driver} keeps half of, and the copy can be made again`, async () => {
    const replicated = await replicate(driver);
    const { pair, unit } = replicated;
    // Of two servers that speak to each other the agent can but cancel an end, which cuts the target off at once.
    await giveUpAtTheEnd(replicated, "pull", 60_000);
    expect(pair.target.snapshots(unit)).toEqual(["s1"]);
    expect(await halvesOf(replicated)).toEqual(["s2"]);
    await expect(pair.copy(copyOf(unit))).rejects.toMatchObject({
      message: expect.stringContaining("UNIQUE constraint failed: storage_volumes_snapshots"),
      hint: expect.stringContaining("The next run removes it"),
    });
    await mend(replicated, ["s2"]);
    expect(pair.target.snapshots(unit)).toEqual(["s1"]);
    expect(await halvesOf(replicated)).toEqual([]);
    await pair.copy(copyOf(unit));
    expect(pair.target.snapshots(unit)).toEqual(["s1", "s2"]);
    expect(pair.target.digest(unit, "s2")).toBe(pair.source.digest(unit, "s2"));
  });
}

test("mend() leaves alone what is whole by now", async () => {
  const replicated = await replicate("dir");
  const { pair, unit } = replicated;
  await pair.copy(copyOf(unit));
  const before = pair.target.state();
  await mend(replicated, ["s2"]);
  expect(pair.target.state()).toEqual(before);
});

test("mend() says so where the target does not ask for what it keeps half of", async () => {
  const replicated = await replicate("dir");
  const { pair, unit } = replicated;
  await giveUpAtTheEnd(replicated, "pull", 60_000);
  // A copy asks for nothing that the source has no more.
  pair.source.deleteSnapshot(unit, "s2");
  await expect(mend(replicated, ["s2"])).rejects.toThrow("Cannot rid web1 of half of s2: spare does not ask for it");
  expect(pair.target.snapshots(unit)).toEqual(["s1"]);
  expect(await halvesOf(replicated)).toEqual(["s2"]);
});
