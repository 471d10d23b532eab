import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { InstanceUnit, Unit } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, type LabDaemon, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, orphanSubvolumes } from "../lab/storage.ts";
import { removeTrust, trustCertificate } from "../lab/trust.ts";
import { createInstance, createVolume, deleteSnapshot, startInstance, takeSnapshot } from "../lab/workloads.ts";
import { startAgent } from "./agent-process.ts";
import { factsOf, Ledger, ownSnapshotNames, snapshotNames } from "./ledger.ts";
import { copyAsPredecessor, localName, writeCredentials } from "./predecessor.ts";
import { buildAgent } from "./site.ts";

const EAST = "Asia/Kathmandu";
const WEST = "Pacific/Honolulu";

beforeAll(buildAgent);

describe.each(GENERATIONS)("Incus %s: an installation of IAB 1.2.0", (generation) => {
  const { source, target } = openLab().incus[generation];
  const servers = { source, target };
  const ledger = new Ledger();
  const heard: string[] = [];
  let services: Server;
  let folder: string;
  let certificate: string;
  let scratch: Scratch;
  let [c1, c2, vm1]: InstanceUnit[] = [];
  let units: { unit: Unit; pool: string; zone: string; without?: string[] }[];

  /** Two runs of IAB 1.2.0: what it wrote on its own machine, and on both servers. */
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "iab-1.2.0-"));
    certificate = await writeCredentials(join(folder, "root/.config/incusAutobackup"), [source, target]);
    for (const daemon of [source, target]) await trustCertificate(daemon, certificate, { name: "iab" });
    services = createServer((request, response) => {
      heard.push(`${request.method} ${request.url?.replace(/\?.*/, "")}`);
      request.resume().on("end", () => response.end("{}"));
    }).listen(0, "127.0.0.1");
    scratch = await openScratch(source, target);
    units = await furnish();
    for (const round of [1, 2]) {
      for (const { unit, zone } of units) {
        await takeSnapshot(source, unit, localName(new Date(), zone));
        await ledger.note(source, unit);
        await changeContent(source, unit, `round-${round}`);
      }
      for (const { unit, pool, without } of units) await copyAsPredecessor(servers, unit, pool, without);
    }
    await writeFile(join(folder, "config.json"), JSON.stringify(config(), undefined, 2));
  });

  afterAll(async () => {
    services.close();
    await scratch.close();
    for (const daemon of [source, target]) await removeTrust(daemon, certificate);
    await rm(folder, { recursive: true });
  });

  async function furnish(): Promise<typeof units> {
    const { project } = scratch;
    const { btrfs, btrfs2, dir } = source.pools;
    c1 = await createInstance(source, {
      project,
      name: "c1",
      pool: btrfs,
      seed: "c1",
      config: { "boot.autostart": "true", "boot.host_shutdown_timeout": "1" },
    });
    c2 = await createInstance(source, { project, name: "c2", pool: dir, seed: "c2", ephemeral: true });
    const v1 = await createVolume(source, { project, pool: btrfs, name: "v1", seed: "v1" });
    const v2 = await createVolume(source, { project, pool: btrfs2, name: "v2", seed: "v2" });
    const devices = {
      eth0: { type: "nic", network: "lan0", name: "eth0" },
      "custom-volume-1": { type: "disk", pool: btrfs, source: "v1", path: "/srv" },
    };
    vm1 = await createInstance(source, { project, name: "vm1", pool: btrfs, seed: "vm1", devices });
    await startInstance(source, c1);
    return [
      { unit: v1, pool: btrfs, zone: EAST },
      { unit: v2, pool: btrfs2, zone: EAST },
      { unit: c1, pool: btrfs, zone: WEST },
      { unit: c2, pool: btrfs, zone: EAST },
      { unit: vm1, pool: btrfs2, zone: EAST, without: ["eth0", "custom-volume-1"] },
    ];
  }

  /** Every key of its example, with the servers, the project and the policies of this test. */
  function config() {
    const { port } = services.address() as AddressInfo;
    const { btrfs, btrfs2 } = source.pools;
    const { project } = scratch;
    return {
      iab: {
        iabCredDir: "./root/.config/incusAutobackup",
        uuid: "",
        stopInstance: true,
        healthchecksUrl: `http://127.0.0.1:${port}/ping/your-uuid-here`,
        gotifyUrl: `http://127.0.0.1:${port}/message?token=APP_TOKEN`,
      },
      hosts: [
        { name: "prod-source", role: "source", url: source.url },
        { name: "prod-target", role: "target", url: target.url },
      ],
      projects: [
        {
          name: project,
          description: "Example Project with different instances and volumes on different storages",
          mode: "pull",
          instances: [
            { name: "c1", storage: btrfs },
            { name: "c2", storage: btrfs },
            { name: "vm1", storage: btrfs2, excludeDevices: ["eth0", "custom-volume-1"] },
          ],
          volumes: [
            { name: "v1", storage: btrfs },
            { name: "v2", storage: btrfs2 },
          ],
        },
      ],
      retention: {
        hosts: {
          source: {
            default: "6,1h2d,1d2w,1w3m",
            projects: {
              [project]: {
                default: "10,1h1d,1d1w,1w2m",
                // By its name each snapshot of c1 is ten hours old, by the server's date it is new.
                instances: { default: "2", byName: { c1: "1s1h", vm1: "24,1h1d,1d2w,1w2m" } },
                volumes: { default: "7,1h2d,1d2w", byName: { v2: "12,1h2d,1d4w,1w6m" } },
              },
            },
          },
          target: {
            default: "3,1h2d,1d2w",
            projects: {
              [project]: {
                default: "4,1h1d,1d2w",
                instances: { default: "3,1h1d,1d2w", byName: { c2: "6,1h2d,1d2w" } },
                volumes: { default: "4,1h1d,1d2w", byName: { v1: "8,1h2d,1d4w" } },
              },
            },
          },
        },
      },
    };
  }

  const iab = (...argv: string[]) => startAgent(argv, { cwd: folder }).ended;

  test("a dry run with its flags decides everything, and changes nothing", async () => {
    const before = await Promise.all(units.map(({ unit }) => snapshotNames(source, unit)));
    const { exitCode, stdout } = await iab("-dryRun", "-iOSfix=true", "-log-level", "warn");
    expect([exitCode, stdout]).toEqual([
      0,
      expect.stringContaining("it holds the same snapshots, from now on it is ours"),
    ]);
    expect(stdout).toContain("5 snapshots, 5 copies, 1 deletion on the source");
    expect(await Promise.all(units.map(({ unit }) => snapshotNames(source, unit)))).toEqual(before);
  });

  test("two runs go on where it ended: all is adopted, aged by the server's date, and made safe", async () => {
    const kept = await filesOf(folder);
    for (let round = 0; round < 2; round += 1) {
      const { exitCode, stdout, stderr } = await iab();
      expect([exitCode, stdout], stderr).toEqual([0, expect.stringContaining("0 left out, 1 warning")]);
      expect(stdout).toContain("c2 is ephemeral and would be deleted by a stop");
      for (const { unit } of units) await ledger.note(source, unit);
    }
    for (const { unit, pool } of units) {
      const replica = unit.kind === "volume" ? { ...unit, pool } : unit;
      await ledger.expectEqual(source, unit, target, replica);
    }
    const counts = await Promise.all(units.map(async ({ unit }) => (await ownSnapshotNames(source, unit)).length));
    expect(counts).toEqual([4, 4, 4, 2, 4]);
    expect(await filesOf(folder)).toEqual(kept);
    const of = async (unit: InstanceUnit | undefined) => factsOf(target, unit as InstanceUnit);
    for (const unit of [c1, c2, vm1]) {
      const { config: marks, status } = await of(unit);
      expect(status).toBe("Stopped");
      expect(marks).toMatchObject({
        "boot.autostart": "false",
        "user.iab.source": `prod-source:${scratch.project}/${unit?.name}`,
      });
      expect(marks["volatile.last_state.power"]).toBeUndefined();
    }
    expect(await Promise.all([source, target].map((daemon) => isEphemeral(daemon, c2)))).toEqual([true, false]);
    expect((await factsOf(source, c1 as InstanceUnit)).status).toBe("Running");
    const told = ["POST /ping/your-uuid-here/start", "POST /ping/your-uuid-here/0"];
    expect(heard).toEqual([...told, ...told]);
    expect(await orphanSubvolumes(target, target.pools.btrfs)).toEqual([]);
  });

  test("a replica that is ours and ephemeral, as earlier runs left it, stays when it is stopped from the next run on", async () => {
    await call(target, "PATCH", `/1.0/instances/c2?project=${scratch.project}`, { ephemeral: true });
    expect(await isEphemeral(target, c2)).toBe(true);
    expect((await iab("plan", `${scratch.project}/c2`)).stdout).toContain("it is ephemeral, from now on it stays");
    expect(await iab(`${scratch.project}/c2`)).toMatchObject({ exitCode: 0 });
    expect(await isEphemeral(target, c2)).toBe(false);
  });

  test("a snapshot that is gone from the replica of IAB 1.2.0 is noticed as ever", async () => {
    const [oldest = ""] = await ownSnapshotNames(target, c1 as InstanceUnit);
    await deleteSnapshot(target, c1 as InstanceUnit, oldest);
    const { exitCode, stdout } = await iab(`${scratch.project}/c1`);
    expect([exitCode, stdout]).toEqual([3, expect.stringContaining(`lacks ${oldest}`)]);
  });
});

async function isEphemeral(daemon: LabDaemon, unit: InstanceUnit | undefined): Promise<boolean> {
  const found = await call(daemon, "GET", `/1.0/instances/${unit?.name}?project=${unit?.project}`);
  return z.object({ ephemeral: z.boolean() }).parse(found).ephemeral;
}

async function filesOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(files.map(async (path) => [path, await readFile(path, "utf8")] as const)),
  );
}
