import { chmod, copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { pinPath } from "../../src/onboard/credentials.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, type LabDaemon } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { createInstance, createVolume } from "../lab/workloads.ts";
import { openSite, type Site } from "./site.ts";

const Found = z.object({
  checks: z.array(z.object({ check: z.string(), subject: z.string(), state: z.string(), text: z.string() })),
});

/** Nobody listens there. */
const NOWHERE = "https://127.0.0.1:9";

describe.each(GENERATIONS)("Incus %s", (generation) => {
  let site: Site;
  let scratch: Scratch;

  const configure = () =>
    site.writeConfig({
      projects: [
        {
          name: scratch.project,
          mode: "relay",
          history: "keep",
          instances: [{ name: "*" }],
          volumes: [{ name: "data", storage: site.source.pools.dir }],
        },
      ],
      retention: { hosts: { source: { default: "2" } } },
    });

  beforeAll(async () => {
    site = await openSite(generation);
    scratch = await openScratch(site.source, site.target);
    const { project } = scratch;
    await createVolume(site.source, { project, pool: site.source.pools.dir, name: "data", seed: "d", sizeBytes: 9000 });
    await createInstance(site.source, {
      project,
      pool: site.source.pools.btrfs,
      name: "box",
      seed: "b",
      sizeBytes: 9000,
    });
    await configure();
  });

  afterAll(async () => {
    await scratch.close();
    await site.close();
  });

  const doctor = async (...argv: string[]) => {
    const { exitCode, stdout, stderr } = await site.iab(["doctor", "-f", "json", ...argv]);
    expect(stderr).toBe("");
    const { checks } = Found.parse(JSON.parse(stdout));
    const of = (state: string) => checks.filter((each) => each.state === state).map(({ check }) => check);
    return { exitCode, checks, failed: of("failed"), warnings: of("warning"), unknown: of("unknown") };
  };

  test("all is well with two servers, only that nothing has been rehearsed yet; nothing is changed", async () => {
    const before = await everything(site, scratch.project);
    const { exitCode, failed, warnings, unknown, checks } = await doctor();
    expect({ exitCode, failed, unknown }).toEqual({ exitCode: 0, failed: [], unknown: [] });
    expect(warnings).toEqual(["history.rehearsed", "history.rehearsed"]);
    const textOf = (check: string, subject: string) =>
      checks.find((each) => each.check === check && each.subject === subject)?.text;
    expect(textOf("server.reached", "one")).toContain(`Incus ${generation}.`);
    expect(textOf("server.clock", "two")).toBe("Its clock agrees with ours");
    expect(textOf("server.pool", `two:${site.target.pools.dir}`)).toMatch(/^dir, \d+ % of \d/);
    expect(textOf("workloads.found", "all")).toBe("2 to replicate");
    expect(await everything(site, scratch.project)).toEqual(before);
  });

  test("what a run has rehearsed is told", async () => {
    expect((await site.iab(["run"])).exitCode).toBe(0);
    const { exitCode, warnings, checks } = await doctor("--strict");
    expect({ exitCode, warnings }).toEqual({ exitCode: 0, warnings: [] });
    const rehearsed = checks.filter(({ check }) => check === "history.rehearsed");
    expect(rehearsed.map(({ text }) => text)).toEqual([
      expect.stringMatching(/^Passed: 1 filesystem \S+ dir .* > \S+ dir /),
      expect.stringMatching(/^Passed: 1 filesystem \S+ btrfs .* > \S+ btrfs /),
    ]);
  });

  test("a target that is down hinders no look at the source", async () => {
    await copyFile(pinPath(site.folder, site.target.url), pinPath(site.folder, NOWHERE));
    const config = await readFile(site.configPath, "utf8");
    await writeFile(site.configPath, config.replaceAll(site.target.url, NOWHERE));
    const { exitCode, failed, unknown, checks } = await doctor();
    expect({ exitCode, failed, unknown }).toEqual({
      exitCode: 3,
      failed: ["server.reached"],
      unknown: ["workloads.found", "history.rehearsed"],
    });
    expect(checks.filter(({ subject, state }) => subject.startsWith("one") && state === "ok").length).toBeGreaterThan(
      4,
    );
    await configure();
  });

  test("the wrong pin, and a key that others may read", async () => {
    const pin = pinPath(site.folder, site.target.url);
    await copyFile(site.source.certificate, pin);
    await chmod(join(site.folder, "iab_client.key"), 0o644);
    const { exitCode, failed, checks } = await doctor();
    expect({ exitCode, failed }).toEqual({ exitCode: 3, failed: ["credentials.mode", "server.reached"] });
    expect(checks.find(({ check, state }) => check === "server.reached" && state === "failed")?.text).toMatch(
      /^Cannot trust two /,
    );
    await chmod(join(site.folder, "iab_client.key"), 0o600);
    await copyFile(site.target.certificate, pin);
    expect((await doctor()).failed).toEqual([]);
  });
});

/** All workloads of a project on both sides, as their servers list them. */
async function everything({ source, target }: Site, project: string): Promise<unknown> {
  return Promise.all([source, target].map((daemon) => workloadsOn(daemon, project)));
}

async function workloadsOn(daemon: LabDaemon, project: string): Promise<unknown> {
  const pools = Object.values(daemon.pools).map((pool) => `/1.0/storage-pools/${pool}/volumes/custom`);
  const lists = ["/1.0/instances", ...pools].map((path) =>
    call(daemon, "GET", `${path}?recursion=2&project=${project}`),
  );
  return Promise.all(lists);
}
