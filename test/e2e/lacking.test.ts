import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { InstanceUnit } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import { deletePool } from "../lab/faults.ts";
import { GENERATIONS, type LabDaemon } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent } from "../lab/storage.ts";
import { createInstance, createVolume, takeSnapshot } from "../lab/workloads.ts";
import { factsOf, Ledger, snapshotNames } from "./ledger.ts";
import { openSite, type Site } from "./site.ts";

const run = promisify(execFile);

describe.each(GENERATIONS)("Incus %s: what the target lacks, or brings of its own", (generation) => {
  let site: Site;
  let scratch: Scratch;
  let profile: string;
  const undo: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    site = await openSite(generation);
    scratch = await openScratch(site.source, site.target);
    profile = `only-here-${scratch.project}`;
    const devices = {
      eth0: { type: "nic", network: "lan0", name: "eth0" },
      logs: { type: "disk", source: "/usr", path: "/logs" },
    };
    await call(site.source, "POST", "/1.0/profiles", { name: profile, devices });
    undo.push(async () => void (await call(site.source, "DELETE", `/1.0/profiles/${profile}`)));
  });

  afterAll(async () => {
    await scratch.close();
    for (const step of undo) await step();
    await site.close();
  });

  test("a replica is made without what it cannot have, also what snapshots remember, and an empty profile stands in for one that they name", async () => {
    const { source, target } = site;
    const { project } = scratch;
    const { btrfs: pool } = source.pools;
    await createVolume(source, { project, pool, name: "spare" });
    const devices = {
      root: { type: "disk", path: "/", pool },
      eth1: { type: "nic", network: "lan0", name: "eth1" },
      host: { type: "disk", source: "/usr", path: "/host" },
      spare: { type: "disk", pool, source: "spare", path: "/spare" },
    };
    const unit = await createInstance(source, { project, name: "box", seed: "box", devices });
    const other = await bareInstance(source, project, "bare", profile);
    await run(source.client, ["profile", "add", "box", profile, "--project", project]);
    await takeSnapshot(source, unit, "with-all");
    for (const name of ["eth1", "host", "spare"]) {
      await run(source.client, ["config", "device", "remove", "box", name, "--project", project]);
    }
    const instances = [{ name: "box" }, { name: "bare" }];
    await site.writeConfig({ projects: [{ name: project, mode: "pull", instances }] });

    const planned = await site.iab(["plan"]);
    expect(planned.stdout.match(/stand-in +two:default/g)).toHaveLength(1);
    expect(await namesOfProfiles(target)).not.toContain(profile);
    const first = await site.iab(["run"]);
    undo.push(async () => void (await call(target, "DELETE", `/1.0/profiles/${profile}`)));
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(wordsOf(first.stdout)).toContain(`Profile ${profile} is missing on two: an empty one stands in for it`);
    expect(wordsOf(first.stdout)).toContain(`is made without profile ${profile}, and lacks device eth0, device logs`);
    expect(Made.parse(await call(target, "GET", `/1.0/profiles/${profile}`))).toMatchObject({
      config: { "user.iab.stand-in": `one:default/${profile}` },
      devices: {},
    });

    const ledger = new Ledger();
    for (const seed of ["one", "two", "three"]) {
      for (const each of [unit, other]) {
        await ledger.note(source, each);
        await ledger.expectEqual(source, each, target);
        expect(await profilesOf(target, each)).not.toContain(profile);
        await changeContent(source, each, seed);
      }
      expect(await site.iab(["run"])).toMatchObject({ exitCode: 0, stderr: "" });
    }
    expect(await snapshotNames(target, unit)).toContain("with-all");
    const { config } = await factsOf(target, unit);
    expect(Object.keys(JSON.parse(config["user.iab.dropped-devices"] ?? "{}")).sort()).toEqual(["eth0", "logs"]);
    expect(config["user.iab.dropped-profiles"]).toBe(JSON.stringify([profile]));
  });

  test("a profile that an instance is given once it has a replica is stood in for too; what it no longer has does not matter", async () => {
    const { source, target } = site;
    const { project } = scratch;
    const [late, former] = [`late-${project}`, `former-${project}`];
    for (const name of [late, former]) {
      await call(source, "POST", "/1.0/profiles", { name });
      undo.push(async () => void (await call(source, "DELETE", `/1.0/profiles/${name}`)));
    }
    for (const pool of [source.pools.btrfs, source.pools.dir]) {
      const unit = await createInstance(source, { project, pool, name: `moving-${pool}`, seed: "moving" });
      await run(source.client, ["profile", "add", unit.name, former, "--project", project]);
      await takeSnapshot(source, unit, "as-it-was");
      await run(source.client, ["profile", "remove", unit.name, former, "--project", project]);
      await site.writeConfig({ projects: [{ name: project, mode: "push", instances: [{ name: unit.name }] }] });
      expect(await site.iab(["run"])).toMatchObject({ exitCode: 0, stderr: "" });
      await run(source.client, ["profile", "add", unit.name, late, "--project", project]);
      const ledger = new Ledger();
      for (const seed of ["one", "two"]) {
        await changeContent(source, unit, seed);
        expect(await site.iab(["run"])).toMatchObject({ exitCode: 0, stderr: "" });
        await ledger.note(source, unit);
        await ledger.expectEqual(source, unit, target);
      }
      expect(await profilesOf(target, unit)).toEqual(["default"]);
      expect((await factsOf(target, unit)).config["user.iab.dropped-profiles"]).toBe(JSON.stringify([late]));
    }
    undo.push(async () => void (await call(target, "DELETE", `/1.0/profiles/${late}`)));
    expect(await namesOfProfiles(target)).not.toContain(former);
  });

  test("where the certificate may make no profile the instance waits with what to type, and all else goes on", async () => {
    const { source, target } = site;
    const { project } = scratch;
    const missing = `apart-${project}`;
    await call(source, "POST", "/1.0/profiles", { name: missing });
    undo.push(async () => void (await call(source, "DELETE", `/1.0/profiles/${missing}`)));
    const waiting = await createInstance(source, { project, name: "waiting", seed: "waiting" });
    const going = await createInstance(source, { project, name: "going", seed: "going" });
    await run(source.client, ["profile", "add", "waiting", missing, "--project", project]);
    const confined = await openSite(generation, { projects: { source: [project], target: [project] } });
    try {
      const instances = [{ name: "waiting" }, { name: "going" }];
      await confined.writeConfig({ projects: [{ name: project, mode: "pull", instances }] });
      const refused = await confined.iab(["run"]);
      expect(refused.exitCode).toBe(3);
      expect(wordsOf(refused.stdout)).toContain(`two has no profile ${missing}`);
      expect(wordsOf(refused.stdout)).toContain(`incus profile create ${missing} --project default`);
      expect(await snapshotNames(target, going)).toHaveLength(1);
      expect(await namesOfProfiles(target)).not.toContain(missing);
      await call(target, "POST", "/1.0/profiles", { name: missing });
      undo.push(async () => void (await call(target, "DELETE", `/1.0/profiles/${missing}`)));
      expect(await confined.iab(["run"])).toMatchObject({ exitCode: 0, stderr: "" });
      // Whoever made it wants it: it is no stand-in of ours.
      expect(await profilesOf(target, waiting)).toContain(missing);
    } finally {
      await confined.close();
    }
  });

  test("a pool that has a schedule for whatever is made in it gives none to a replica", async () => {
    const { source, target } = site;
    const { project } = scratch;
    const pool = `daily-${project}`;
    const config = { "volume.snapshots.schedule": "@daily" };
    await call(target, "POST", "/1.0/storage-pools", { name: pool, driver: "dir", config });
    undo.push(() => deletePool(target, pool));
    const unit = await createVolume(source, { project, pool: source.pools.dir, name: "data", seed: "data" });
    const volumes = [{ name: "data", storage: unit.pool, targetStorage: pool }];
    await site.writeConfig({ projects: [{ name: project, mode: "pull", volumes }] });
    for (const flags of [[], ["--reseed", `${project}/*/data`]]) {
      expect(await site.iab(["run", ...flags])).toMatchObject({ exitCode: 0, stderr: "" });
      const replica = await factsOf(target, { ...unit, pool });
      expect(replica.config).not.toHaveProperty(["snapshots.schedule"]);
      expect(replica.config).toMatchObject({ "user.iab.source": `one:${project}/${unit.pool}/data` });
    }
  });
});

const Made = z.object({
  config: z.record(z.string(), z.string()),
  devices: z.record(z.string(), z.unknown()),
  profiles: z.array(z.string()).default([]),
});

async function namesOfProfiles(daemon: LabDaemon): Promise<string[]> {
  const profiles = z
    .array(z.object({ name: z.string() }))
    .parse(await call(daemon, "GET", "/1.0/profiles?recursion=1"));
  return profiles.map(({ name }) => name);
}

async function profilesOf(daemon: LabDaemon, { project, name }: InstanceUnit): Promise<string[]> {
  return Made.parse(await call(daemon, "GET", `/1.0/instances/${name}?project=${project}`)).profiles;
}

/** An instance on a pool of plain folders that has its network card and all else but its disk of one profile. */
async function bareInstance(daemon: LabDaemon, project: string, name: string, profile: string): Promise<InstanceUnit> {
  const unit = await createInstance(daemon, { project, name, pool: daemon.pools.dir, seed: name });
  await run(daemon.client, ["profile", "assign", name, profile, "--project", project]);
  return unit;
}

/** What is printed, whatever lines it is broken into. */
function wordsOf(text: string): string {
  return text.replace(/\s+/g, " ");
}
