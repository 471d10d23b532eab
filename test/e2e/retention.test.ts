import { afterEach, expect, test } from "vitest";
import { GENERATIONS } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { createInstance, createVolume, takeSnapshot } from "../lab/workloads.ts";
import { openSite, type Site } from "./site.ts";

let site: Site | undefined;
let scratch: Scratch | undefined;
afterEach(async () => {
  await scratch?.close();
  await site?.close();
  scratch = undefined;
  site = undefined;
});

test.each(GENERATIONS)(
  "iab retention explain --from reads what Incus %s lists, and ages it by its dates",
  async (generation) => {
    site = await openSite(generation);
    const { source, target } = site;
    scratch = await openScratch(source, target);
    const { project } = scratch;
    const web = await createInstance(source, { project, name: "web1", pool: source.pools.btrfs });
    const data = await createVolume(source, { project, pool: source.pools.dir, name: "data" });
    const before = Date.now();
    for (const unit of [web, data]) {
      for (const name of ["IAB_20200101-000000", "IAB_20200102-000000", "by-hand"])
        await takeSnapshot(source, unit, name);
    }
    await site.writeConfig({ projects: [{ name: project, instances: [{ name: "web1" }] }] });
    for (const workload of [`${project}/web1`, `${project}/${source.pools.dir}/data`]) {
      const argv = ["retention", "explain", "1", "--from", "source", workload, "-f", "json"];
      const { exitCode, stdout, stderr } = await site.iab(argv);
      expect([exitCode, stderr]).toEqual([0, ""]);
      const verdicts: { name: string; at: string; verdict: string }[] = JSON.parse(stdout);
      expect(verdicts.map(({ name, verdict }) => [name, verdict])).toEqual([
        ["IAB_20200101-000000", "remove"],
        ["IAB_20200102-000000", "keep"],
        ["by-hand", "unmanaged"],
      ]);
      for (const { at } of verdicts) expect(Date.parse(at)).toBeGreaterThan(before - 60_000);
    }
  },
);
