import { afterEach, expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { GENERATIONS } from "../lab/lab.ts";
import { openPerson, type Person } from "../lab/person.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, contentDigest } from "../lab/storage.ts";
import { createInstance, createVolume } from "../lab/workloads.ts";
import { ownSnapshotNames } from "./ledger.ts";
import { openSite, type Site } from "./site.ts";

let site: Site | undefined;
let scratch: Scratch | undefined;
let person: Person | undefined;
afterEach(async () => {
  await person?.close();
  await scratch?.close();
  await site?.close();
  person = undefined;
  scratch = undefined;
  site = undefined;
});

const RUNS = 4;

test.each(GENERATIONS)(
  "on Incus %s, kept history that a refresh by hand destroys is noticed at once, by name, and kept on from there",
  async (generation) => {
    site = await openSite(generation);
    const { source, target, iab } = site;
    scratch = await openScratch(source, target);
    person = await openPerson(source, target);
    const { project } = scratch;
    const { btrfs, dir } = source.pools;
    const box = await createInstance(source, { project, name: "box", pool: btrfs, seed: "box" });
    const data = await createVolume(source, { project, pool: dir, name: "data", seed: "data" });
    const units: readonly Unit[] = [box, data];
    await site.writeConfig({
      projects: [
        {
          name: project,
          mode: "relay",
          history: "keep",
          instances: [{ name: "box" }],
          volumes: [{ name: "data", storage: dir }],
        },
      ],
      retention: { hosts: { source: { default: "1" } } },
    });
    for (let run = 0; run < RUNS; run += 1) {
      expect(await iab(["run", "--strict"])).toMatchObject({ exitCode: 0, stderr: "" });
      for (const unit of units) await changeContent(source, unit, `run-${run}`);
    }
    const kept = await ownSnapshotNames(target, box);
    expect(kept).toHaveLength(RUNS);
    expect(await ownSnapshotNames(target, data)).toEqual(kept);
    expect((await iab(["status", "--strict"])).stdout).not.toContain("history.lost");

    const projects = ["--project", project, "--target-project", project];
    await person.incus("copy", "box", `${person.remote}:box`, "--refresh", ...projects);
    const volume = [`${dir}/data`, `${person.remote}:${dir}/data`] as const;
    await person.incus("storage", "volume", "copy", ...volume, "--refresh", ...projects);
    for (const unit of units) expect(await ownSnapshotNames(target, unit)).toEqual(kept.slice(-1));

    const gone = kept.slice(0, -1);
    const losses = ["box", `${dir}/data`].map(
      (place) =>
        `${project}/${place} on the target has lost ${gone.length} of the ${RUNS} snapshots that the last run left there: ${gone.join(", ")}`,
    );
    const textOf = async (...argv: string[]) => (await iab(argv)).stdout.replace(/\s+/g, " ");
    for (const loss of losses) {
      expect(await textOf("status")).toContain(loss);
      expect(await textOf("plan")).toContain(loss);
    }
    const { workloads } = JSON.parse((await iab(["status", "-f", "json"])).stdout);
    const lost = workloads.filter(({ side }: { side: string }) => side === "target");
    expect(lost.map(({ lostSnapshots }: { lostSnapshots: string[] }) => lostSnapshots)).toEqual([gone, gone]);

    const { exitCode, stdout } = await iab(["run", "--strict"]);
    expect(exitCode).toBe(7);
    for (const loss of losses) expect(stdout.replace(/\s+/g, " ")).toContain(loss);
    expect((await iab(["run", "--strict"])).exitCode).toBe(0);
    for (const unit of units) {
      const names = await ownSnapshotNames(target, unit);
      expect(names).toHaveLength(3);
      const newest = names.at(-1);
      expect(await contentDigest(target, unit, newest)).toBe(await contentDigest(source, unit, newest));
    }
  },
);
