import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import type { Simulated } from "../incus/history-simulation.ts";
import { begin, call } from "../lab/daemon-api.ts";
import type { Daemon } from "../lab/lab.ts";
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

const Sending = z.object({ id: z.string(), metadata: z.record(z.string(), z.string()) });

/** Copies a snapshot of a replica back to a new unit beside the original, as a person would with Incus alone. */
async function restore(from: Daemon, replica: Unit, snapshot: string, to: Daemon, pool: string): Promise<Unit> {
  const name = `restored-${replica.name}`;
  const query = `?project=${replica.project}`;
  const migration = (sending: z.infer<typeof Sending>) => ({
    type: "migration",
    mode: "pull",
    operation: `${from.url}/1.0/operations/${sending.id}`,
    secrets: sending.metadata,
    certificate: readFileSync(from.certificate, "utf8"),
  });
  if (replica.kind === "instance") {
    const path = `/1.0/instances/${replica.name}/snapshots/${snapshot}${query}`;
    const sending = Sending.parse(await begin(from, "POST", path, { migration: true, name: "", live: false }));
    const devices = { root: { type: "disk", path: "/", pool } };
    const body = { name, type: "container", architecture: "x86_64", devices, source: migration(sending) };
    await call(to, "POST", `/1.0/instances${query}`, body);
    return { ...replica, name };
  }
  const volumes = `/1.0/storage-pools/${replica.pool}/volumes/custom/${replica.name}/snapshots/${snapshot}${query}`;
  const offer = { migration: true, name: snapshot, volume_only: true };
  const sending = Sending.parse(await begin(from, "POST", volumes, offer));
  const source = { ...migration(sending), name: `${replica.name}/${snapshot}`, pool: replica.pool, volume_only: true };
  const Volume = z.object({ content_type: z.string() });
  const facts = `/1.0/storage-pools/${replica.pool}/volumes/custom/${replica.name}${query}`;
  const { content_type } = Volume.parse(await call(from, "GET", facts));
  await call(to, "POST", `/1.0/storage-pools/${pool}/volumes/custom${query}`, {
    name,
    type: "custom",
    content_type,
    source,
  });
  return { ...replica, name, pool };
}

/** A snapshot that the source has long forgotten can be had back from the replica. */
export async function expectRestorable(pair: LabPair, { expected, digests }: Simulated): Promise<void> {
  const [oldest = ""] = expected.target;
  expect(expected.source).not.toContain(oldest);
  const restored = await restore(pair.target, pair.replica, oldest, pair.source, pair.sourcePool);
  expect(await contentDigest(pair.source, restored)).toBe(digests.get(oldest));
}
