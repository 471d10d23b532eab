import { expect, test } from "vitest";
import { relayInProcess } from "../../bench/relay-process.ts";
import { openLab } from "../lab/lab.ts";
import { contentDigest } from "../lab/storage.ts";
import { createVolume } from "../lab/workloads.ts";
import { copyOf, openCopyLab } from "./copy-lab.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

test("a relay of 1 GiB between two real servers needs less than 200 MB of memory, and loses nothing", async () => {
  const { source, target } = openLab().incus["7.0"];
  const copyLab = await openCopyLab(source, target);
  try {
    const place = { project: copyLab.project, name: "big", pool: source.pools.btrfs };
    const unit = await createVolume(source, { ...place, seed: "big", sizeBytes: 1.04 * GIB });
    const copy = copyOf("relay", unit, target.pools.btrfs);
    const { bytes, peakBytes } = await relayInProcess(copyLab.work(copy));
    expect(bytes).toBeGreaterThan(GIB);
    expect(peakBytes).toBeLessThan(200 * MIB);
    expect(await contentDigest(target, copy.target)).toBe(await contentDigest(source, unit));
  } finally {
    await copyLab.close();
  }
});
