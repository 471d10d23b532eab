import { createHash, randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type ArchiveOptions, openArchive, prepareArchive } from "../../src/kopia/open-archive.ts";
import type { Archive } from "../../src/model/ports.ts";
import { systemClock } from "../../src/system/clock.ts";
import { openLab } from "../lab/lab.ts";
import { archiveOptions, BACKENDS, offsiteConfig, PASSWORD, scratchFolder } from "./kopia-lab.ts";

const quiet = () => {};
const sample = { path: "/zfs/tank/data", description: "a folder", tags: { workload: "web1" } };

describe.each(Object.entries(BACKENDS))("the archive on %s", (_, block) => {
  test("is not made unless that is allowed", async ({ signal }) => {
    const options = archiveOptions(offsiteConfig(block()));
    await expect(prepareArchive(options, signal)).rejects.toMatchObject({ code: "kopia.empty" });
    const allowed = archiveOptions(offsiteConfig(block(), { create: true }));
    await expect(openArchive(allowed, signal)).rejects.toMatchObject({ code: "kopia.empty" });
  });

  test("gives back what was put in, to whoever opens it later", async ({ signal }) => {
    const config = offsiteConfig(block(), { create: true, retention: { keep_latest: 5 } });
    const folder = sampleFolder();
    const first = await prepared(archiveOptions(config), signal);
    const made = await first.backUpFolder(folder, sample, quiet, signal);
    const disk = Buffer.alloc(3_000_001, 7);
    const streamed = await first.backUpStream(
      { name: "disk.img", bytes: chunksOf(disk) },
      { path: "/volumes/v1", description: "a disk", tags: { kind: "block" } },
      signal,
    );
    await first.close();

    const later = await opened(archiveOptions(config), signal);
    expect(await later.list(signal)).toEqual([made, streamed]);
    expect(made).toMatchObject({
      source: "iab@host1:/zfs/tank/data",
      description: "a folder",
      tags: { workload: "web1" },
      state: "complete",
      fileCount: 4,
    });
    const [there, disks] = [join(scratchFolder(), "there"), scratchFolder()];
    await later.restoreTo(made, there, { owners: true }, signal);
    expect(digestOf(there)).toBe(digestOf(folder));
    await later.restoreTo(streamed, disks, { owners: true }, signal);
    expect(readFileSync(join(disks, "disk.img")).equals(disk)).toBe(true);
    const read = await later.verify([made, streamed], { percent: 100 }, signal);
    expect(read.bytesRead).toBeGreaterThanOrEqual(disk.length);
  });
});

test("Archive: a host sees and removes its own backups only", async ({ signal }) => {
  const config = offsiteConfig(BACKENDS.filesystem(), { create: true });
  const one = await prepared(archiveOptions(config), signal);
  const two = await prepared(archiveOptions(config, { owner: { hostname: "host2", username: "iab" } }), signal);
  const made = await one.backUpFolder(sampleFolder(), sample, quiet, signal);
  expect(await two.list(signal)).toEqual([]);
  expect(await two.maintain(signal)).toMatchObject({ done: false, owner: "iab@host1" });
  expect(await one.maintain(signal)).toMatchObject({ done: true, lastAt: expect.any(Number) });
  await one.remove(made, signal);
  expect(await one.list(signal)).toEqual([]);
});

test("Archive: two hosts that start at the same moment share the repository that one of them makes", async ({
  signal,
}) => {
  const policies = join(scratchFolder(), "policies.json");
  const keep = { retention: { keepLatest: 4 } };
  writeFileSync(policies, JSON.stringify({ "(global)": keep, "iab@host1": keep, "iab@host2": keep }));
  const config = offsiteConfig(BACKENDS["S3 with TLS and a private CA"](), { create: true, policies });
  const hosts = ["host1", "host2"].map((hostname) =>
    archiveOptions(config, { owner: { hostname, username: "iab" }, clock: systemClock }),
  );
  const archives = await Promise.all(hosts.map((options) => prepared(options, signal)));
  for (const archive of archives) await archive.backUpFolder(sampleFolder(), sample, quiet, signal);
  expect(await Promise.all(archives.map(async (archive) => (await archive.list(signal)).length))).toEqual([1, 1]);
});

test("Archive: files that call themselves caches, or that the data wants left out, are backed up too", async ({
  signal,
}) => {
  const archive = await prepared(archiveOptions(offsiteConfig(BACKENDS.filesystem(), { create: true })), signal);
  const folder = scratchFolder();
  mkdirSync(join(folder, "cache"));
  writeFileSync(join(folder, "cache", "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n");
  writeFileSync(join(folder, "cache", "entry"), "kept");
  writeFileSync(join(folder, ".kopiaignore"), "*.db\n");
  writeFileSync(join(folder, "customers.db"), "kept");
  expect(await archive.backUpFolder(folder, sample, quiet, signal)).toMatchObject({ fileCount: 4 });
});

test("Archive: a stream that breaks leaves no backup", async ({ signal }) => {
  const archive = await prepared(archiveOptions(offsiteConfig(BACKENDS.filesystem(), { create: true })), signal);
  const broken = new Error("the server went away");
  async function* bytes() {
    yield Buffer.alloc(1_000_000, 1);
    throw broken;
  }
  const stream = { name: "export.tar", bytes: bytes() };
  await expect(archive.backUpStream(stream, sample, signal)).rejects.toBe(broken);
  expect(await archive.list(signal)).toEqual([]);
});

test("Archive: a backup that is cancelled ends at once, and is not taken for a whole one", async ({ signal }) => {
  const archive = await prepared(archiveOptions(offsiteConfig(BACKENDS.filesystem(), { create: true })), signal);
  const ending = new AbortController();
  async function* endless() {
    for (let at = 0; ; at++) {
      if (at === 5) ending.abort("SIGTERM");
      yield Buffer.alloc(1_000_000, at);
    }
  }
  const began = Date.now();
  const stream = { name: "disk.img", bytes: endless() };
  await expect(archive.backUpStream(stream, sample, ending.signal)).rejects.toBe("SIGTERM");
  expect(Date.now() - began).toBeLessThan(30_000);
  expect((await archive.list(signal)).filter(({ state }) => state === "complete")).toEqual([]);
});

test("Archive: a folder's backup that is cancelled ends within 30 s, and the next one goes on from it", async ({
  signal,
}) => {
  const backend = BACKENDS["S3 over plain http"]();
  const slow = await prepared(archiveOptions(offsiteConfig(backend, { create: true, upload_limit: "1MB/s" })), signal);
  const folder = scratchFolder();
  for (const name of ["a", "b", "c", "d"]) writeFileSync(join(folder, name), randomBytes(22_000_000));
  const ending = new AbortController();
  let cancelledAt = 0;
  const cancelled = slow.backUpFolder(
    folder,
    sample,
    ({ text }) => {
      if (cancelledAt > 0 || !/[1-9]\d* hashed/.test(text)) return;
      cancelledAt = Date.now();
      ending.abort("SIGTERM");
    },
    ending.signal,
  );
  await expect(cancelled).rejects.toBe("SIGTERM");
  expect(Date.now() - cancelledAt).toBeLessThan(30_000);
  expect((await slow.list(signal)).filter(({ state }) => state === "complete")).toEqual([]);
  const again = await prepared(archiveOptions(offsiteConfig(backend)), signal);
  expect(await again.backUpFolder(folder, sample, quiet, signal)).toMatchObject({ state: "complete", fileCount: 4 });
});

test("Archive: keeps as many backups of a source as the configuration says", async ({ signal }) => {
  const retention = { keep_latest: 2, keep_hourly: 0, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, keep_annual: 0 };
  const archive = await prepared(
    archiveOptions(offsiteConfig(BACKENDS.filesystem(), { create: true, retention })),
    signal,
  );
  const folder = sampleFolder();
  for (let made = 0; made < 3; made++) await archive.backUpFolder(folder, sample, quiet, signal);
  expect(await archive.list(signal)).toHaveLength(2);
});

test("Archive: secrets are in no argument, and in no file once it is closed", async ({ signal }) => {
  const block = BACKENDS["S3 with TLS and a private CA"]();
  const folder = scratchFolder();
  const seen = join(folder, "seen");
  const program = join(folder, "kopia");
  writeFileSync(program, `#!/bin/bash\nprintf '%s\\n' "$@" >> ${seen}\nexec ${openLab().kopia().path} "$@"\n`);
  chmodSync(program, 0o755);
  const options = archiveOptions(offsiteConfig(block, { create: true }), { program });
  const archive = await prepareArchive(options, signal);
  await archive.backUpFolder(sampleFolder(), sample, quiet, signal);
  await archive.close();
  const files = readdirSync(options.folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const texts = [seen, ...files.map((file) => join(file.parentPath, file.name))].map((path) =>
    readFileSync(path, "latin1"),
  );
  expect(texts.length).toBeGreaterThan(2);
  for (const secret of [PASSWORD, block.s3.secret_key]) {
    expect(texts.filter((text) => text.includes(secret))).toEqual([]);
  }
});

test("Archive: what a killed run has left of secrets is removed by the next, and nothing of one at work", async ({
  signal,
}) => {
  const options = archiveOptions(offsiteConfig(BACKENDS.filesystem(), { create: true }));
  await (await prepareArchive(options, signal)).close();
  const left = join(options.folder, readdirSync(options.folder).join(), "killed.config");
  writeFileSync(left, "{}");
  const atWork = await prepared(options, signal);
  expect(existsSync(left)).toBe(false);
  await opened(options, signal);
  expect(await atWork.list(signal)).toEqual([]);
});

async function prepared(options: ArchiveOptions, signal: AbortSignal): Promise<Archive> {
  return closing(await prepareArchive(options, signal));
}

async function opened(options: ArchiveOptions, signal: AbortSignal): Promise<Archive> {
  return closing(await openArchive(options, signal));
}

function closing(archive: Archive): Archive {
  onTestFinished(() => archive.close());
  return archive;
}

function sampleFolder(): string {
  const folder = scratchFolder();
  mkdirSync(join(folder, "sub", "empty"), { recursive: true });
  writeFileSync(join(folder, "a"), Buffer.alloc(2_500_000, 3));
  writeFileSync(join(folder, "sub", "b"), "b");
  chmodSync(join(folder, "sub", "b"), 0o4711);
  writeFileSync(join(folder, "sub", "ä ö"), "");
  writeFileSync(join(folder, ".hidden"), "h");
  symlinkSync("../a", join(folder, "sub", "link"));
  return folder;
}

function digestOf(folder: string): string {
  const hash = createHash("sha256");
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  for (const path of entries.map((entry) => join(entry.parentPath, entry.name)).sort()) {
    hash.update(path.slice(folder.length));
    const entry = entries.find((each) => join(each.parentPath, each.name) === path);
    if (entry?.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}

async function* chunksOf(bytes: Buffer): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
