import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Reader, Reading } from "../../src/model/ports.ts";
import type { Part, Subject } from "../../src/model/reading.ts";
import { btrfsReader } from "../../src/storage/btrfs-reader.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemDisks } from "../../src/system/disks.ts";
import { systemFiles } from "../../src/system/files.ts";
import { digestOf, digestOfFile } from "../lab/content.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { changeContent, contentDigest, orphanSubvolumes } from "../lab/storage.ts";
import { createInstance, createVolume, deleteUnit, startInstance } from "../lab/workloads.ts";
import { btrfsOf, buildHolder, type Holder, mountPool, pointsOf, processesOf } from "./storage-lab.ts";
import { subjectOf } from "./subjects.ts";

const POINTS = 16;
const OWNER = "root@btrfs-test";
const run = promisify(execFile);

describe.each(GENERATIONS)("btrfsReader() on Incus %s", (generation) => {
  const daemon = openLab().incus[generation].source;
  const pool = daemon.pools.btrfs;
  let mounted: Awaited<ReturnType<typeof mountPool>>;
  let scratch: Scratch;
  let folder: string;
  let holder: Holder;
  let reader: Reader;
  let units: Record<"running" | "stopped" | "data" | "disk", Subject & { kind: "workload" }>;
  let runs = 0;

  beforeAll(async () => {
    mounted = await mountPool(daemon, pool);
    scratch = await openScratch(daemon);
    folder = await mkdtemp(join(tmpdir(), "iab-btrfs-"));
    holder = await buildHolder(folder);
    const { project } = scratch;
    const running = await createInstance(daemon, { project, name: "running", pool, seed: "running" });
    await startInstance(daemon, running);
    units = {
      running: subjectOf(running, pool, "btrfs"),
      stopped: subjectOf(await createInstance(daemon, { project, name: "stopped", pool, seed: "s" }), pool, "btrfs"),
      data: subjectOf(await createVolume(daemon, { project, name: "data", pool, seed: "d" }), pool, "btrfs"),
      disk: subjectOf(
        await createVolume(daemon, { project, name: "disk", pool, seed: "k", contentType: "block" }),
        pool,
        "btrfs",
        "block",
      ),
    };
    const options = { files: systemFiles, disks: systemDisks, processes: processesOf(daemon), clock: systemClock };
    reader = btrfsReader({ ...options, root: mounted.folder });
    const [program = "", ...words] = btrfsOf(daemon);
    await writeFile(join(folder, "btrfs"), `#!/bin/sh\nexec ${[program, ...words].join(" ")} "$@"\n`);
    await chmod(join(folder, "btrfs"), 0o755);
  });

  afterAll(async () => {
    // Whatever becomes of the rest, no mount is left.
    await mounted.close();
    await scratch.close();
    await rm(folder, { recursive: true });
  });

  const all = () => Object.values(units);
  const nextRun = () => ({ owner: OWNER, name: `offsite-test-${runs++}` });
  const leftovers = async () => ({
    orphans: await orphanSubvolumes(daemon, pool),
    ours: await systemFiles.list(join(mounted.folder, ".iab-offsite")),
  });
  const btrfs = async (...words: string[]) => {
    const [program = "", ...first] = btrfsOf(daemon);
    await run(program, [...first, ...words]);
  };
  const NOTHING = { orphans: [], ours: [] };

  async function digests(reading: Reading, signal: AbortSignal): Promise<string[]> {
    const found: string[] = [];
    for (const subject of all()) {
      const opened = await reading.open(subject, signal);
      found.push(await digestOfPart(opened.parts[0], subject, folder, signal));
      await opened.close();
    }
    return found;
  }

  test("holds running and stopped workloads as they were, whatever they become, and leaves nothing", async ({
    signal,
  }) => {
    const before = await Promise.all(all().map(({ workload }) => contentDigest(daemon, workload)));
    const reading = await reader.hold(all(), nextRun(), signal);
    for (const { workload } of all()) await changeContent(daemon, workload, `after-${runs}`);
    expect(await digests(reading, signal)).toEqual(before);
    const after = await Promise.all(all().map(({ workload }) => contentDigest(daemon, workload)));
    expect(after.filter((digest, index) => digest === before[index])).toEqual([]);
    expect((await leftovers()).orphans.length).toBeGreaterThan(0);
    await reading.release();
    expect(await leftovers()).toEqual(NOTHING);
  });

  test("holds subvolumes within a workload at their places, however deep and however called", async ({ signal }) => {
    // Past Incus, which cannot delete a volume with such names in it.
    const odd = subjectOf({ kind: "volume", project: scratch.project, pool, name: "odd" }, pool, "btrfs");
    const path = join(mounted.folder, "custom", `${scratch.project}_odd`);
    const nested = ["", "a", "a/b c", "a/b c/line\nbreak", "empty\nID 7 gen 1 top level 5 path x"];
    try {
      for (const below of nested) {
        await btrfs("subvolume", "create", join(path, below));
        await writeFile(join(path, below, "content"), below);
      }
      await btrfs("property", "set", "-ts", join(path, "a/b c/line\nbreak"), "ro", "true");
      const before = await digestOf(path);
      const reading = await reader.hold([odd], nextRun(), signal);
      const [part] = (await reading.open(odd, signal)).parts;
      if (part?.kind !== "folder") throw new Error("No folder");
      await writeFile(join(path, "a/b c", "later"), "later");
      expect(await digestOf(part.folder)).toBe(before);
      expect(await readFile(join(part.folder, "a/b c/line\nbreak/content"), "utf8")).toBe("a/b c/line\nbreak");
      for (const below of nested) {
        await expect(writeFile(join(part.folder, below, "new"), "")).rejects.toThrow(/EROFS/);
      }
      await reading.release();
    } finally {
      for (const below of nested.toReversed()) await btrfs("subvolume", "delete", join(path, below));
    }
    expect(await leftovers()).toEqual(NOTHING);
  });

  test("has of a virtual machine its disk, and the files beside it without the disk", async ({ signal }) => {
    const path = join(mounted.folder, "virtual-machines", `${scratch.project}_vm`);
    await btrfs("subvolume", "create", path);
    try {
      await writeFile(join(path, "root.img"), Buffer.alloc(300_000, 7));
      await mkdir(join(path, "config"));
      await writeFile(join(path, "qemu.nvram"), "variables");
      const unit = { kind: "instance", project: scratch.project, name: "vm" } as const;
      const vm = subjectOf(unit, pool, "btrfs", "virtual-machine");
      const reading = await reader.hold([vm], nextRun(), signal);
      const { parts } = await reading.open(vm, signal);
      expect(parts.map(({ name, kind }) => `${name} ${kind}`)).toEqual(["disk stream", "files folder"]);
      const [disk, files] = parts;
      if (disk?.kind !== "stream" || files?.kind !== "folder") throw new Error("Other parts");
      const chunks = [];
      for await (const chunk of disk.bytes(signal)) chunks.push(chunk);
      expect(Buffer.concat(chunks).equals(Buffer.alloc(300_000, 7))).toBe(true);
      expect((await systemFiles.list(files.folder)).toSorted()).toEqual(["config", "qemu.nvram"]);
      await reading.release();
    } finally {
      await btrfs("subvolume", "delete", path);
    }
    expect(await leftovers()).toEqual(NOTHING);
  });

  test("does the others no harm where one is not there, and says so when that is opened", async ({ signal }) => {
    const gone = subjectOf({ kind: "instance", project: scratch.project, name: "gone" }, pool, "btrfs");
    const reading = await reader.hold([gone, units.stopped], nextRun(), signal);
    await expect(reading.open(gone, signal)).rejects.toMatchObject({
      code: "storage.unusable",
      message: expect.stringMatching(/^Cannot read test-\w+\/gone from .*: there is no such subvolume$/),
    });
    expect((await reading.open(units.stopped, signal)).parts).toHaveLength(1);
    await reading.release();
    expect(await leftovers()).toEqual(NOTHING);
  });

  test("says what to do where the pool is not mounted here", async ({ signal }) => {
    const options = { files: systemFiles, disks: systemDisks, processes: processesOf(daemon), clock: systemClock };
    for (const root of [join(folder, "missing"), folder]) {
      const reading = await btrfsReader({ ...options, root }).hold([units.data], nextRun(), signal);
      await expect(reading.open(units.data, signal)).rejects.toMatchObject({
        message: expect.stringMatching(/^Cannot read pool local from .*: (there is no such folder|no pool of btrfs)/),
        hint: expect.stringContaining("root of the source"),
      });
      await reading.release();
    }
  });

  test(`sweeps after kill -9 at ${POINTS} points, and nothing of others`, { timeout: 900_000 }, async ({ signal }) => {
    const environment = { PATH: `${folder}:${process.env["PATH"]}` };
    const orders = { read: "btrfs", root: mounted.folder, mountFolder: folder, subjects: all() } as const;
    const whole = await holder.run({ ...orders, run: nextRun(), killAt: undefined }, environment);
    if (whole === undefined) throw new Error("It was killed");
    // Somebody else's, in the same folder and called as ours would be.
    const other = { owner: "root@other", name: "offsite-other" };
    const theirs = await reader.hold([units.data], other, signal);
    let left = 0;
    for (const killAt of pointsOf(whole, POINTS)) {
      expect(await holder.run({ ...orders, run: nextRun(), killAt }, environment), `point ${killAt}`).toBeUndefined();
      const swept = await reader.sweep(OWNER, signal);
      if (swept.length > 0) left += 1;
      expect(await systemFiles.list(join(mounted.folder, ".iab-offsite")), `point ${killAt}`).toEqual(["root@other"]);
    }
    expect(left).toBeGreaterThan(POINTS / 2);
    const opened = await theirs.open(units.data, signal);
    expect(await digestOfPart(opened.parts[0], units.data, folder, signal)).toBe(
      await contentDigest(daemon, units.data.workload),
    );
    await theirs.release();
    expect(await leftovers()).toEqual(NOTHING);
  });

  test("leaves alone what lies in a folder of ours and is not what its record says", async ({ signal }) => {
    await reader.hold([units.data], nextRun(), signal);
    const own = join(mounted.folder, ".iab-offsite", OWNER);
    const [record = ""] = (await systemFiles.list(own)).filter((name) => name.endsWith(".json"));
    const died = (await readFile(join(own, record), "utf8")).replace(/"holder":"[^"]*"/, '"holder":"x.1.1"');
    await writeFile(join(own, record), died);
    // One under a name of its own, and one in the place of ours.
    const [theirs, swapped] = [join(own, record.replace(".json", "/theirs")), join(own, record.replace(".json", "/0"))];
    await btrfs("subvolume", "create", theirs);
    await btrfs("subvolume", "delete", swapped);
    await btrfs("subvolume", "create", swapped);
    const left = { code: "storage.left", message: expect.stringContaining("is not of run offsite-test-") };
    await expect(reader.sweep(OWNER, signal)).rejects.toMatchObject(left);
    await btrfs("subvolume", "delete", theirs);
    await expect(reader.sweep(OWNER, signal)).rejects.toMatchObject(left);
    await btrfs("subvolume", "delete", swapped);
    expect(await reader.sweep(OWNER, signal)).toEqual([]);
    expect(await leftovers()).toEqual(NOTHING);
  });

  test("lets Incus delete everything afterwards, a workload that is held too", async ({ signal }) => {
    const reading = await reader.hold(all(), nextRun(), signal);
    const before = await digests(reading, signal);
    await deleteUnit(daemon, units.stopped.workload);
    await deleteUnit(daemon, units.disk.workload);
    expect(await digests(reading, signal)).toEqual(before);
    await reading.release();
    await deleteUnit(daemon, units.data.workload);
    expect(await leftovers()).toEqual(NOTHING);
  });
});

/** As `contentDigest()` has it: of an instance its root file system, of a disk its bytes. */
async function digestOfPart(
  part: Part | undefined,
  { workload }: Subject & { kind: "workload" },
  scratch: string,
  signal: AbortSignal,
): Promise<string> {
  if (part === undefined) throw new Error("No part");
  if (part.kind === "folder") return digestOf(join(part.folder, workload.kind === "instance" ? "rootfs" : ""));
  const path = join(scratch, "disk");
  await writeFile(path, part.bytes(signal));
  return digestOfFile(path);
}
