import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { iab } from "../cli/iab.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { changeContent } from "../lab/storage.ts";
import { makeToken, removeTrust } from "../lab/trust.ts";
import { createInstance, createVolume } from "../lab/workloads.ts";
import { type ClusterStage, openClusterStage, openReplicated } from "./cluster-stage.ts";
import { Ledger, snapshotNames } from "./ledger.ts";

const run = promisify(execFile);
const CERTIFICATE = "/home/me/.config/incusAutobackup/iab_client.crt";

describe.each(GENERATIONS)("Incus %s: a cluster of two members", (generation) => {
  const lab = openLab().incus[generation];
  let stage: ClusterStage;

  beforeAll(async () => {
    stage = await openClusterStage(generation);
  });

  afterAll(() => stage.close());

  test("is onboarded at any member's address, by a token of the other, and pinned by the certificate of all", async () => {
    const { one, two } = stage;
    const files = {
      "/t/source": await makeToken(lab.source, { name: "cluster" }),
      "/t/target": await makeToken(one, { name: "cluster" }),
    };
    const world = memoryWorld({ now: Date.now(), files, environment: { HOME: "/home/me" } });
    const ofSource = ["--sourceURL", lab.source.url, "--sourceToken", "@/t/source"];
    const ofTarget = ["--targetURL", two.url, "--targetToken", "@/t/target"];
    const ended = await iab(["onboard", ...ofSource, ...ofTarget, "--bare", "--outConfig", "/etc/iab"], world);
    stage.defer(() => removeTrust(lab.source, world.texts.get(CERTIFICATE) ?? ""));
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    expect(parseConfig(world.texts.get("/etc/iab/config.json") ?? "").hosts.target.url).toBe(two.url);
    const pins = [...world.texts].filter(([path]) => path.endsWith(`${new URL(two.url).host.replace(":", "_")}.pem`));
    const shared = await readFile(one.certificate, "utf8");
    expect(pins.map(([, text]) => text.trim())).toEqual([shared.trim()]);
  });

  test("gets new replicas where it is wished, refreshes them there, and prunes, whichever member is asked", async () => {
    const { project, units, viaOne, viaTwo, goodRun, expectEqual } = await openReplicated(stage, generation);
    for (const [at, site] of [viaOne, viaTwo, viaOne].entries()) await goodRun(site, `change-${at}`);
    for (const unit of units) expect(await snapshotNames(lab.source, unit)).toHaveLength(2);
    await expectEqual();
    await goodRun(viaTwo, "reseeded", "--reseed", `${project}/box`);
    await expectEqual();
  });

  test("is written to by a confined certificate; where the project allows no choice of members, 7.0 alone refreshes", async () => {
    const { source } = lab;
    const { dir: pool } = source.pools;
    const project = await stage.openProject(source, { restricted: "true", "features.profiles": "true" });
    const projects = { source: [project], target: [project] };
    const confined = await stage.openSite({ source, target: stage.two }, { projects });
    await createInstance(source, { project, name: "lone", pool, seed: "lone" });
    await createVolume(source, { project, name: "data", pool, seed: "data" });
    const runBy = async (mode: string) => {
      const volumes = [{ name: "data", storage: pool }];
      await confined.writeConfig({ projects: [{ name: project, mode, instances: [{ name: "*" }], volumes }] });
      return confined.iab(["run"]);
    };
    if (generation === "7.0") expect((await runBy("pull")).stdout).toContain("Set `mode: push` or `mode: relay`");
    expect(await runBy("push")).toMatchObject({ exitCode: 0, stderr: "" });
    const again = await runBy("push");
    expect(again.exitCode).toBe(generation === "6.0" ? 3 : 0);
    if (generation === "6.0") expect(again.stdout).toContain("restricted.cluster.target=allow");
    await run(stage.one.client, ["project", "set", project, "restricted.cluster.target=allow"]);
    expect(await runBy("push")).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("is a source whose workloads are read wherever they are; a volume of both members is told of and left", async () => {
    const { target } = lab;
    const project = await stage.openProject(target);
    const { dir, btrfs } = target.pools;
    const held = [];
    for (const member of ["one", "two"] as const) {
      const daemon = { ...stage[member], side: "source" } as const;
      const name = `at-${member}`;
      const devices = { data: { type: "disk", pool: btrfs, source: `data-${member}`, path: "/srv" } };
      const data = await createVolume(daemon, { project, pool: btrfs, name: `data-${member}`, seed: member });
      const box = await createInstance(daemon, { project, name, pool: dir, seed: name, devices, member });
      await createVolume(daemon, { project, pool: dir, name: "same" });
      held.push({ daemon, unit: data }, { daemon, unit: box });
    }
    const site = await stage.openSite({ source: { ...stage.one, side: "source" }, target });
    const ledger = new Ledger();
    const volumes = [
      { name: "data-*", storage: btrfs },
      { name: "same", storage: dir },
    ];
    for (const mode of ["pull", "push", "relay"]) {
      await site.writeConfig({ projects: [{ name: project, mode, instances: [{ name: "*" }], volumes }] });
      const { exitCode, stdout } = await site.iab(["run"]);
      expect([exitCode, stdout]).toEqual([3, expect.stringContaining("4 copies, ")]);
      expect(stdout).toContain(`one and two of one each have a volume ${project}/${dir}/same`);
      expect(stdout).toContain("0 steps failed, 1 left out");
      for (const { daemon, unit } of held) {
        await ledger.note(daemon, unit);
        await changeContent(daemon, unit, mode);
      }
    }
    for (const { daemon, unit } of held) await ledger.expectEqual(daemon, unit, target);
  });
});
