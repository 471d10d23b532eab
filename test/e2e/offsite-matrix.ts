import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { type Unit, unitId } from "../../src/model/unit.ts";
import { BACKENDS, PASSWORD } from "../contract/kopia-lab.ts";
import { writeBytes } from "../lab/content.ts";
import { type Generation, type LabDaemon, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { contentDigest, contentPath, orphanSubvolumes } from "../lab/storage.ts";
import { createInstance, createVolume, startInstance } from "../lab/workloads.ts";
import { type BtrfsPool, openBtrfsPool } from "./btrfs-pool.ts";
import { ownerWithFirstTurn } from "./first-turn.ts";
import { buildAgent, type Ended, openSite, type Site } from "./site.ts";

const MIB = 1024 * 1024;
const SIZE = 8 * MIB;
/** So much in one place that the pieces at its ends, which go along, are within the 5 %: see docs/offsite.md. */
const CHANGE = 32 * MIB;

export type Pair = { readonly read: "btrfs" | "export"; readonly storage: keyof typeof BACKENDS };

const Listed = z.array(z.object({ id: z.string(), state: z.string(), tags: z.record(z.string(), z.string()) }));
type Listed = z.infer<typeof Listed>;

/** The tests of these pairs on the servers of a generation. */
export function testMatrix(generation: Generation, pairs: readonly Pair[]): void {
  const { source } = openLab().incus[generation];
  const pool = source.pools.btrfs;
  const home = mkdtempSync(join(tmpdir(), "iab-matrix-"));
  let storage: BtrfsPool;
  let site: Site;
  let scratch: Scratch;
  let units: Unit[];

  beforeAll(async () => {
    await buildAgent();
    storage = await openBtrfsPool(source, pool);
    site = await openSite(generation, {
      environment: { HOME: home, PATH: storage.path, IAB_KOPIA: openLab().kopia().path },
    });
    scratch = await openScratch(source);
    units = await fourWorkloads(source, scratch.project);
  });

  afterAll(async () => {
    await scratch?.close();
    await site?.close();
    await storage?.close();
    rmSync(home, { recursive: true, force: true });
  });

  test.each(pairs)(
    "$read to $storage: two backups of four workloads come back whole, and the second uploads the change only",
    async ({ read, storage }) => {
      const elsewhere = await openScratch(source);
      onTestFinished(elsewhere.close);
      const backend = BACKENDS[storage]();
      await writeConfig(read, backend);
      await iab("offsite", "run");
      for (const unit of units) await change(source, unit, `${read} to ${storage}`);
      const digests = await Promise.all(units.map((unit) => contentDigest(source, unit)));
      const before = bytesIn(backend);
      const { run } = JSON.parse((await iab("offsite", "run", "-f", "json")).stdout);
      const uploaded = bytesIn(backend) - before;
      expect(uploaded).toBeLessThanOrEqual(units.length * CHANGE * 1.05);
      expect(uploaded).toBeGreaterThan(units.length * CHANGE * 0.95);

      const listed = Listed.parse(JSON.parse((await iab("offsite", "list", "-f", "json")).stdout));
      const own = listed.filter(({ tags }) => tags["run"] === run);
      const restored: Unit[] = [];
      for (const unit of units) restored.push(await restore(own, unit, elsewhere.project));
      expect(await Promise.all(restored.map((unit) => contentDigest(source, unit)))).toEqual(digests);
    },
  );

  test("nothing of it is left on the server or in the pool", async () => {
    expect(await orphanSubvolumes(source, pool)).toEqual([]);
    expect(readdirSync(storage.root).filter((name) => name.startsWith("."))).toEqual([]);
  });

  async function writeConfig(read: Pair["read"], backend: object): Promise<void> {
    const chosen = { instances: [`${scratch.project}/*`], volumes: [`${scratch.project}/${pool}/*`] };
    await site.writeConfig({
      projects: [],
      offsite: {
        repository_password: PASSWORD,
        backend,
        create: true,
        ...ownerWithFirstTurn(`matrix-${generation.replace(".", "-")}`),
        sources: [{ read, ...(read === "btrfs" ? { root: storage.root } : {}), ...chosen }],
      },
    });
  }

  /** The built command as a process of its own. */
  async function iab(...argv: string[]): Promise<Ended> {
    const ended = await site.start(argv).ended;
    expect(ended.exitCode, `iab ${argv.join(" ")}: ${ended.stdout}${ended.stderr}`).toBe(0);
    return ended;
  }

  /** Makes a workload again in another project, from what one run has of it. */
  async function restore(listed: Listed, unit: Unit, project: string): Promise<Unit> {
    const [part] = listed.filter(({ tags }) => tags["workload"] === unitId(unit));
    const made = { ...unit, project };
    await iab("offsite", "restore", part?.id ?? "none", "--to-incus", unitId(made));
    return made;
  }
}

/** A running container, a stopped one, a filesystem volume, a block volume. */
async function fourWorkloads(source: LabDaemon, project: string): Promise<Unit[]> {
  const place = { project, pool: source.pools.btrfs, sizeBytes: SIZE };
  const running = await createInstance(source, { ...place, name: "running", seed: "running" });
  const block = { contentType: "block", config: { size: "56MiB" } } as const;
  const units = [
    running,
    await createInstance(source, { ...place, name: "stopped", seed: "stopped" }),
    await createVolume(source, { ...place, name: "files", seed: "files" }),
    await createVolume(source, { ...place, ...block, name: "disk", seed: "disk", sizeBytes: SIZE + CHANGE }),
  ];
  for (const unit of units) await change(source, unit, "first");
  await startInstance(source, running);
  return units;
}

/** Writes one file anew, or the bytes in the midst of a disk. */
async function change(source: LabDaemon, unit: Unit, seed: string): Promise<void> {
  const path = await contentPath(source, unit);
  if (path.endsWith(".img")) await writeBytes(path, `${seed} ${unit.name}`, CHANGE, SIZE / 2);
  else await writeBytes(join(path, "data", "changing"), `${seed} ${unit.name}`, CHANGE, 0);
}

/** What a storage of the lab holds of a repository. */
function bytesIn(backend: ReturnType<(typeof BACKENDS)[keyof typeof BACKENDS]>): number {
  const files = readdirSync(folderOf(backend), { recursive: true, withFileTypes: true });
  return files
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

function folderOf(backend: ReturnType<(typeof BACKENDS)[keyof typeof BACKENDS]>): string {
  if ("s3" in backend) return join(openLab().s3().dataDir, backend.s3.bucket);
  return "sftp" in backend ? backend.sftp.path : backend.filesystem.path;
}
