import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call } from "../lab/daemon-api.ts";
import { deletePool } from "../lab/faults.ts";
import { GENERATIONS } from "../lab/lab.ts";
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

  test("a replica waits for a profile only, and is made without devices that it cannot have, also those that snapshots remember", async () => {
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
    await run(source.client, ["profile", "add", "box", profile, "--project", project]);
    await takeSnapshot(source, unit, "with-all");
    for (const name of ["eth1", "host", "spare"]) {
      await run(source.client, ["config", "device", "remove", "box", name, "--project", project]);
    }
    await site.writeConfig({ projects: [{ name: project, mode: "pull", instances: [{ name: "box" }] }] });

    const refused = await site.iab(["run"]);
    expect(refused.exitCode).toBe(3);
    expect(refused.stdout).toContain(`has no profile ${profile}`);
    expect(refused.stdout).toContain(`incus profile create ${profile} --project default`);
    await call(target, "POST", "/1.0/profiles", { name: profile });
    undo.push(async () => void (await call(target, "DELETE", `/1.0/profiles/${profile}`)));

    const ledger = new Ledger();
    for (const seed of ["one", "two"]) {
      expect(await site.iab(["run"])).toMatchObject({ exitCode: 0, stderr: "" });
      await ledger.note(source, unit);
      await changeContent(source, unit, seed);
    }
    await ledger.expectEqual(source, unit, target);
    expect(await snapshotNames(target, unit)).toContain("with-all");
    const { config } = await factsOf(target, unit);
    expect(Object.keys(JSON.parse(config["user.iab.dropped-devices"] ?? "{}")).sort()).toEqual(["eth0", "logs"]);
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
