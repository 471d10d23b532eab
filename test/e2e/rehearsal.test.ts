import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { call } from "../lab/daemon-api.ts";
import { type Generation, type LabDaemon, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { contentDigest } from "../lab/storage.ts";
import { createInstance, createVolume } from "../lab/workloads.ts";
import { factsOf } from "./ledger.ts";
import { buildAgent, openSiteBetween, type Site } from "./site.ts";

const Outcomes = z.object({
  outcomes: z.array(z.object({ id: z.string(), kind: z.string(), state: z.string(), error: z.unknown().optional() })),
});
const Plan = z.object({ steps: z.array(z.object({ id: z.string(), kind: z.string(), needs: z.array(z.string()) })) });
const Named = z.array(z.object({ name: z.string() }));
const Project = z.object({ config: z.record(z.string(), z.string()) });

const PAIRS: readonly (readonly [Generation, Generation])[] = [
  ["6.0", "6.0"],
  ["7.0", "7.0"],
  ["6.0", "7.0"],
];

describe.each(PAIRS)("Incus %s to %s", (from, to) => {
  let site: Site;
  let scratch: Scratch;

  beforeAll(async () => {
    await buildAgent();
    const { incus } = openLab();
    const [source, target] = [incus[from].source, incus[to].target];
    scratch = await openScratch(source, target);
    const projects = { source: [scratch.project], target: [scratch.project] };
    site = await openSiteBetween({ source, target }, { projects });
    const { project } = scratch;
    const { btrfs, dir } = source.pools;
    for (const pool of [btrfs, dir]) {
      await createVolume(source, { project, pool, name: `files-${pool}`, seed: pool, sizeBytes: 20_000 });
      const image = { contentType: "block", config: { size: "1MiB" } } as const;
      await createVolume(source, { project, pool, name: `image-${pool}`, seed: pool, sizeBytes: 20_000, ...image });
    }
    await createInstance(source, { project, pool: btrfs, name: "box", seed: "box", sizeBytes: 20_000 });
    await site.writeConfig({
      projects: [
        {
          name: project,
          mode: "relay",
          history: "keep",
          instances: [{ name: "box", storage: target.pools.dir }],
          volumes: [btrfs, dir].flatMap((pool) => [{ name: "*", storage: pool }]),
        },
      ],
      retention: { hosts: { source: { default: "1" }, target: { default: "5" } } },
    });
  });

  afterEach(async () => {
    expect(await scratchVolumes(site.source, scratch.project)).toEqual([]);
    expect(await scratchVolumes(site.target, scratch.project)).toEqual([]);
  });

  afterAll(async () => {
    await scratch.close();
    await site.close();
  });

  test("a plan says that rehearsals come first, and makes none", async () => {
    const { steps } = Plan.parse(JSON.parse((await site.iab(["plan", "-f", "json"])).stdout));
    const rehearsals = steps.filter(({ kind }) => kind === "rehearse").map(({ id }) => id);
    expect(rehearsals).toHaveLength(5);
    for (const copy of steps.filter(({ kind }) => kind === "copy"))
      expect(copy.needs.filter((id) => rehearsals.includes(id))).toHaveLength(1);
  });

  test("where a project allows no backups the rehearsal says so, nothing is copied, and nothing is left", async () => {
    await restrict(site.target, scratch.project, true);
    const { exitCode, stdout } = await site.iab(["run", "-f", "json"]);
    const { outcomes } = Outcomes.parse(JSON.parse(stdout));
    expect(exitCode).toBe(3);
    const [rehearsal] = outcomes.filter(({ kind }) => kind === "rehearse");
    expect(rehearsal).toMatchObject({
      state: "failed",
      error: {
        code: "history.refused",
        message: expect.stringMatching(/its project allows no backups$/),
        hint: expect.stringContaining(`incus project set ${scratch.project} restricted.backups=allow`),
      },
    });
    expect(outcomes.filter(({ kind }) => kind === "copy").map(({ state }) => state)).toEqual(Array(5).fill("skipped"));
    await restrict(site.target, scratch.project, false);
  });

  test("what a killed rehearsal leaves behind goes with the next one", async () => {
    const agent = site.start(["run"]);
    await vi.waitFor(async () => expect(await scratchVolumes(site.target, scratch.project)).not.toEqual([]), {
      timeout: 60_000,
      interval: 20,
    });
    agent.kill("SIGKILL");
    await agent.ended;
    expect(await scratchVolumes(site.source, scratch.project)).not.toEqual([]);
    const { stdout } = await site.iab(["plan", "-f", "json"]);
    expect(Plan.parse(JSON.parse(stdout)).steps.filter(({ kind }) => kind === "rehearse")).toHaveLength(5);
    // The servers may be busy with what nobody waits for any more.
    await vi.waitUntil(async () => (await site.iab(["run"])).exitCode === 0, { timeout: 120_000, interval: 1000 });
    await forget(site.target, scratch.project);
  });

  test("with a restricted certificate, each way of keeping history is rehearsed once before it is used", async () => {
    const first = await site.iab(["run", "-f", "json"]);
    const { outcomes } = Outcomes.parse(JSON.parse(first.stdout));
    expect(outcomes.filter(({ state }) => state !== "done")).toEqual([]);
    expect(first.exitCode).toBe(0);
    expect(outcomes.filter(({ kind }) => kind === "rehearse")).toHaveLength(5);
    const box = { kind: "instance", project: scratch.project, name: "box" } as const;
    const { config } = await factsOf(site.target, box);
    expect(config["user.iab.rehearsed"]).toMatch(
      /^1 filesystem \d\S+ btrfs \S+ [0-9a-f]{8} > \d\S+ dir \S+ [0-9a-f]{8}$/,
    );

    const { steps } = Plan.parse(JSON.parse((await site.iab(["plan", "-f", "json"])).stdout));
    expect(steps.filter(({ kind }) => kind === "rehearse")).toEqual([]);
    const second = await site.iab(["run", "-f", "json"]);
    expect(second.exitCode).toBe(0);
    expect(await contentDigest(site.target, box)).toBe(await contentDigest(site.source, box));
  });
});

/** As a careful administrator has it, who allows each thing by name, and not backups. */
async function restrict(daemon: LabDaemon, project: string, restricted: boolean): Promise<void> {
  const path = `/1.0/projects/${project}`;
  const { config } = Project.parse(await call(daemon, "GET", path));
  const wanted = restricted
    ? { restricted: "true", "restricted.snapshots": "allow", "restricted.backups": "block" }
    : { restricted: "false" };
  // A PATCH with some keys takes all others for removed; and only who has profiles of his own can be restricted.
  await call(daemon, "PATCH", path, { config: { ...config, "features.profiles": "true", ...wanted } });
}

/** Takes the replicas away, and with them what was rehearsed. */
async function forget(daemon: LabDaemon, project: string): Promise<void> {
  await call(daemon, "DELETE", `/1.0/instances/box?project=${project}`);
  for (const pool of [daemon.pools.btrfs, daemon.pools.dir]) {
    for (const kind of ["files", "image"]) {
      const path = `/1.0/storage-pools/${pool}/volumes/custom/${kind}-${pool}`;
      await call(daemon, "DELETE", `${path}?project=${project}`);
    }
  }
}

async function scratchVolumes(daemon: LabDaemon, project: string): Promise<string[]> {
  const pools = Named.parse(await call(daemon, "GET", "/1.0/storage-pools?recursion=1"));
  const lists = pools.map(async ({ name }) =>
    Named.parse(await call(daemon, "GET", `/1.0/storage-pools/${name}/volumes/custom?recursion=1&project=${project}`)),
  );
  return (await Promise.all(lists)).flat().flatMap(({ name }) => (name.startsWith("iab-rehearsal-") ? [name] : []));
}
