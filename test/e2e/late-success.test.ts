import { expect, test, vi } from "vitest";
import type { Mode } from "../../src/model/job.ts";
import { copyOf, ignore, openCopyLab } from "../contract/copy-lab.ts";
import { call } from "../lab/daemon-api.ts";
import { crashDaemon, restartDaemon } from "../lab/faults.ts";
import { GENERATIONS, type LabDaemon, openLab } from "../lab/lab.ts";
import { contentDigest } from "../lab/storage.ts";
import { createVolume, takeSnapshot } from "../lab/workloads.ts";

const MODES: readonly Mode[] = ["pull", "push", "relay"];
const PATIENCE = { timeout: 300_000 };

for (const generation of GENERATIONS) {
  test(
    `Incus ${generation}: volumes that take longer than 30 s are copied in every mode`,
    PATIENCE,
    async ({ signal }) => {
      const { source, target } = openLab().incus[generation];
      const { dir } = source.pools;
      const copyLab = await openCopyLab(source, target);
      try {
        const { project } = copyLab;
        const wanted = { project, pool: dir, sizeBytes: 4_500_000 };
        const units = [];
        for (const mode of MODES) {
          const unit = await createVolume(source, { ...wanted, name: mode, seed: mode });
          await takeSnapshot(source, unit, "s1");
          units.push(unit);
        }
        await limitRate(source, dir, "100kB");
        const startedAt = performance.now();
        const copied = await Promise.all(
          units.map(async (unit, at) => {
            const copy = { ...copyOf(MODES[at] ?? "pull", unit, target.pools.dir), sends: ["s1"] };
            return copyLab.servers.copy(copy, ignore, signal);
          }),
        );
        expect(performance.now() - startedAt).toBeGreaterThan(30_000);
        for (const unit of units)
          for (const name of ["s1", undefined])
            expect(await contentDigest(target, unit, name)).toBe(await contentDigest(source, unit, name));
        const left = copied.map(({ lingering }) => lingering).filter((id) => id !== undefined);
        // A target of 6.0.4 cannot tell; a source that it has dialled waits for that as long as both servers live.
        expect(left).toEqual(generation === "6.0" ? [expect.any(String)] : []);
        expect(await runningOn(source)).toEqual(left);
        if (left.length === 0) return;
        await crashDaemon(target);
        await restartDaemon(target);
        await vi.waitFor(async () => expect(await runningOn(source)).toEqual([]), { timeout: 20_000 });
      } finally {
        await limitRate(source, dir, "");
        await copyLab.close();
      }
    },
  );
}

/** How fast rsync sends what is in a pool. */
async function limitRate(daemon: LabDaemon, pool: string, rate: string): Promise<void> {
  await call(daemon, "PATCH", `/1.0/storage-pools/${pool}`, { config: { "rsync.bwlimit": rate } });
}

async function runningOn(daemon: LabDaemon): Promise<string[]> {
  const byStatus = (await call(daemon, "GET", "/1.0/operations?recursion=1&all-projects=true")) as {
    running?: { id: string }[];
  };
  return (byStatus.running ?? []).map(({ id }) => id);
}
