import { expect, test } from "vitest";
import type { Progress } from "../../src/model/copy.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { contentDigest } from "../lab/storage.ts";
import { createVolume } from "../lab/workloads.ts";
import { copyOf, openCopyLab } from "./copy-lab.ts";

const MIB = 1024 ** 2;
const LIMIT = 4 * MIB;
const SIZE = 12 * MIB;

test.each(GENERATIONS)(
  "a relay keeps to its limit on Incus %s, and tells how far it is and of how much",
  async (of) => {
    const { source, target } = openLab().incus[of];
    const copyLab = await openCopyLab(source, target, { bytesPerSecond: () => LIMIT });
    try {
      const place = { project: copyLab.project, name: "limited", pool: source.pools.dir };
      const config = { size: String(SIZE) };
      const unit = await createVolume(source, {
        ...place,
        contentType: "block",
        config,
        seed: "x",
        sizeBytes: SIZE / 2,
      });
      const copy = copyOf("relay", unit, target.pools.dir, "block");
      const told: Progress[] = [];
      const startedAt = performance.now();
      const { bytes = 0 } = await copyLab.servers.copy(copy, (each) => told.push(each), AbortSignal.timeout(60_000));
      const perSecond = bytes / ((performance.now() - startedAt) / 1000);
      expect(bytes).toBeGreaterThanOrEqual(SIZE);
      expect(perSecond).toBeLessThan(LIMIT * 1.05);
      expect(perSecond).toBeGreaterThan(LIMIT / 2);
      // Before there is data the servers have perhaps not yet said how much it will be.
      const underWay = told.filter((each) => each.bytes > MIB);
      expect(underWay.length).toBeGreaterThan(2);
      expect(new Set(underWay.map(({ totalBytes }) => totalBytes))).toEqual(new Set([SIZE]));
      // That is right to a few percent: the servers' own words come on top.
      expect(bytes).toBeLessThan(SIZE * 1.05);
      expect(await contentDigest(target, copy.target)).toBe(await contentDigest(source, unit));
    } finally {
      await copyLab.close();
    }
  },
);
