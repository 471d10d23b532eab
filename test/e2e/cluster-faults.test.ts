import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { changeContent, contentDigest } from "../lab/storage.ts";
import { createVolume } from "../lab/workloads.ts";
import { type ClusterStage, openClusterStage, openReplicated } from "./cluster-stage.ts";
import { snapshotNames } from "./ledger.ts";

describe.each(GENERATIONS)("Incus %s: a cluster of two members", (generation) => {
  const { source, target } = openLab().incus[generation];
  let stage: ClusterStage;

  beforeAll(async () => {
    stage = await openClusterStage(generation);
  });

  afterAll(() => stage.close());

  test("loses a member: what is on the other goes on, the rest is not pruned, and the run that finds it back heals", async () => {
    const { project, units, viaOne, viaTwo, goodRun, expectEqual } = await openReplicated(stage, generation);
    for (const site of [viaOne, viaTwo, viaOne]) await goodRun(site, "change");
    const namesNow = () => Promise.all(units.map(async (unit) => [unit.name, await snapshotNames(source, unit)]));
    const before = await namesNow();

    await stage.cluster.crashTwo();
    const running = viaOne.iab(["run"]);
    await stage.cluster.noticeTwo();
    const { exitCode, stdout, stderr } = await running;
    expect([exitCode, stderr]).toEqual([3, ""]);
    expect(stdout).toContain("1 copy, ");
    expect(stdout).toContain("0 steps failed, 3 left out");
    expect(stdout.replaceAll(/\s+/g, " ")).toContain(
      `${project}/local/data (volume): its replica ${project}/local/data is on member two of two, which is offline`,
    );
    const after = new Map((await namesNow()).map(([name, names]) => [name, String(names)]));
    expect(before.filter(([name, names]) => after.get(name ?? "") !== String(names)).map(([name]) => name)).toEqual([
      "old",
    ]);

    const told = await viaOne.iab(["status", "--strict"]);
    expect(told.exitCode).toBe(7);
    const targets = told.stdout.split("\n").filter((line) => line.includes("| target |"));
    expect(targets.filter((line) => line.includes("| unknown: member two is offline "))).toHaveLength(3);
    expect(targets.filter((line) => / none +\|/.test(line))).toEqual([]);
    expect(rowsOf(await viaOne.iab(["status", "--sizes", "-f", "json"]))).toMatchObject({
      "target box": { exists: true, unknown: "member two is offline", proven: null },
      "target lone": { exists: true, unknown: "member two is offline", proven: null },
      "target data": { exists: true, unknown: "member two is offline", proven: null },
      "target old": { exists: true, unknown: null, proven: { name: expect.stringMatching(/^IAB_/) } },
    });
    const asSource = await stage.openSite({ source: { ...stage.one, side: "source" }, target });
    await asSource.writeConfig({ projects: [{ name: project, mode: "pull", instances: [{ name: "lone" }] }] });
    const ofSource = await asSource.iab(["status", "--strict", "-f", "json"]);
    expect(ofSource.exitCode).toBe(7);
    expect(rowsOf(ofSource)).toMatchObject({ "source lone": { unknown: "member two is offline", newest: null } });

    await stage.cluster.revive();
    const found = rowsOf(await viaTwo.iab(["status", "-f", "json"]));
    expect(Object.values(found).map(({ unknown }) => unknown)).toEqual(Object.values(found).map(() => null));
    await goodRun(viaTwo, "back");
    await expectEqual();
  });

  test("keeps history on the member that holds it", async () => {
    const { one, two } = stage;
    const project = await stage.openProject(source);
    const { dir: pool } = source.pools;
    const unit = await createVolume(source, { project, pool, name: "kept", seed: "kept" });
    const viaOne = await stage.openSite({ source, target: one });
    const viaTwo = await stage.openSite({ source, target: two });
    const volumes = [{ name: "kept", storage: pool, target: "one" }];
    const hosts = { source: { default: "1" }, target: { default: "3" } };
    const digests = new Map<string, string>();
    for (const [at, site] of [viaTwo, viaOne, viaTwo].entries()) {
      await site.writeConfig({
        projects: [{ name: project, mode: "relay", history: "keep", volumes }],
        retention: { hosts },
      });
      expect(await site.iab(["run"])).toMatchObject({ exitCode: 0, stderr: "" });
      for (const name of await snapshotNames(source, unit)) digests.set(name, await contentDigest(source, unit, name));
      await changeContent(source, unit, `kept-${at}`);
    }
    expect(await snapshotNames(source, unit)).toHaveLength(1);
    expect(await snapshotNames(one, unit)).toEqual([...digests.keys()]);
    expect(digests.size).toBe(3);
    expect(await stage.places(project)).toEqual({ kept: "one" });
    for (const [name, digest] of digests) expect([name, await contentDigest(one, unit, name)]).toEqual([name, digest]);
  });
});

const Rows = z.object({
  workloads: z.array(z.looseObject({ workload: z.string(), side: z.string(), unknown: z.string().nullable() })),
});

/** What a status says, by side and name. */
function rowsOf({ stdout }: { readonly stdout: string }) {
  const { workloads } = Rows.parse(JSON.parse(stdout));
  return Object.fromEntries(workloads.map((row) => [`${row.side} ${row.workload.split("/").at(-1)}`, row]));
}
