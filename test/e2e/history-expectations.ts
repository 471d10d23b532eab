import { expect } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import type { Simulated } from "../incus/history-simulation.ts";
import type { Person } from "../lab/person.ts";
import { contentDigest } from "../lab/storage.ts";
import { CHANGE_BYTES, type LabPair } from "./history-lab-pair.ts";

/** The replica holds what the policies say, nothing else, each with the content that was copied. */
export async function expectHistory(pair: LabPair, { expected, digests }: Simulated): Promise<void> {
  expect((await pair.targetSnapshots()).map(({ name }) => name)).toEqual(expected.target);
  for (const name of expected.target) expect(await pair.digest("target", name), name).toBe(digests.get(name));
}

/**
 * No run sends more than a refresh that keeps nothing: the second run is one, since nothing is forgotten by then. A
 * block volume on a pool without snapshots of its own is always sent as a whole, for the snapshot and for the head.
 */
export function expectIncrements(pair: LabPair, { bytes }: Simulated): void {
  const [plain = 0] = bytes;
  for (const run of bytes) expect(run).toBeLessThan(plain * 1.2 + CHANGE_BYTES / 5);
  if (pair.sendsWhole) return;
  // Where Incus 7.0 sends a btrfs snapshot, it sends the same change again with the head.
  expect(plain).toBeLessThan(CHANGE_BYTES * 2.6);
}

/** Copies a snapshot of a replica back to a new unit beside the original, as a person does with Incus alone. */
async function restore({ unit, replica, sourcePool }: LabPair, snapshot: string, person: Person): Promise<Unit> {
  const name = `restored-${replica.name}`;
  const projects = ["--project", replica.project, "--target-project", unit.project];
  if (replica.kind === "instance") {
    const from = `${person.remote}:${replica.name}/${snapshot}`;
    await person.incus("copy", from, name, "--storage", sourcePool, ...projects);
    return { ...replica, name };
  }
  const from = `${person.remote}:${replica.pool}/${replica.name}/${snapshot}`;
  await person.incus("storage", "volume", "copy", from, `${sourcePool}/${name}`, ...projects);
  return { ...replica, name, pool: sourcePool };
}

/** A snapshot that the source has long forgotten can be had back from the replica. */
export async function expectRestorable(pair: LabPair, { expected, digests }: Simulated, person: Person): Promise<void> {
  const [oldest = ""] = expected.target;
  expect(expected.source).not.toContain(oldest);
  const restored = await restore(pair, oldest, person);
  expect(await contentDigest(pair.source, restored)).toBe(digests.get(oldest));
}
