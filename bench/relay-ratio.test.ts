import { expect, test } from "vitest";
import { copyOf, openCopyLab } from "../test/contract/copy-lab.ts";
import { GENERATIONS, openLab } from "../test/lab/lab.ts";
import { openPerson } from "../test/lab/person.ts";
import { contentDigest } from "../test/lab/storage.ts";
import { createVolume, deleteUnit } from "../test/lab/workloads.ts";
import { awaitRoom, freeBytes } from "./await-room.ts";
import { relayInProcess } from "./relay-process.ts";

const GIB = 1024 ** 3;
const ROUNDS = 3;
// What a pool may hold more of than before, for its own bookkeeping.
const SLACK_BYTES = GIB / 8;

/**
 * A relay of 2 GiB by the agent, and by Incus's own client between the same two daemons, in turn: A B A B A B. What
 * counts is the ratio of a round, since the speed of a machine drifts.
 */
test.each(GENERATIONS)("relay of 2 GiB on Incus %s, beside incus copy --mode relay", async (generation) => {
  const { source, target } = openLab().incus[generation];
  const lab = await openCopyLab(source, target);
  const person = await openPerson(source, target);
  try {
    const place = { project: lab.project, name: "big", pool: source.pools.btrfs };
    const unit = await createVolume(source, { ...place, seed: "bench", sizeBytes: 2 * GIB });
    await awaitRoom(target, target.pools.btrfs, 2 * GIB + SLACK_BYTES);
    const roomBytes = (await freeBytes(target, target.pools.btrfs)) - SLACK_BYTES;
    const ratios: number[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      const copy = copyOf("relay", unit, target.pools.btrfs);
      await awaitRoom(target, target.pools.btrfs, roomBytes);
      const ours = await relayInProcess(lab.work(copy));
      expect(await contentDigest(target, copy.target)).toBe(await contentDigest(source, unit));
      await deleteUnit(target, copy.target);

      await awaitRoom(target, target.pools.btrfs, roomBytes);
      const startedAt = performance.now();
      const [from, to] = [`${source.pools.btrfs}/big`, `${person.remote}:${target.pools.btrfs}/big`];
      const projects = ["--project", lab.project, "--target-project", lab.project];
      await person.incus("storage", "volume", "copy", from, to, "--mode", "relay", ...projects);
      const theirsMs = performance.now() - startedAt;
      await deleteUnit(target, copy.target);

      ratios.push(theirsMs / ours.durationMs);
      say(
        `round ${round}: iab ${speed(ours.durationMs)}, incus ${speed(theirsMs)}, peak memory of iab ${mib(ours.peakBytes)}`,
      );
    }
    const [, median = Number.NaN] = [...ratios].sort((a, b) => a - b);
    say(
      `Incus ${generation}: iab is ${median.toFixed(2)} times as fast as incus copy --mode relay (median of ${ROUNDS})`,
    );
    expect(median).toBeGreaterThanOrEqual(0.9);
  } finally {
    await person.close();
    await lab.close();
  }
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function speed(durationMs: number): string {
  return `${Math.round((2 * 1024) / (durationMs / 1000))} MiB/s`;
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MiB`;
}
