import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { prepareArchive } from "../src/kopia/open-archive.ts";
import type { Archive } from "../src/model/ports.ts";
import { archiveOptions, offsiteConfig, scratchFolder } from "../test/contract/kopia-lab.ts";
import { bytesOf } from "../test/lab/content.ts";

const MIB = 1024 * 1024;
const SIZE = 256 * MIB;
const CHANGE = 64 * MIB;
const ROUNDS = 3;

const OVERWRITTEN = "64 MiB overwritten in one place";
const SCATTERED = "1 MiB overwritten in each of 64 places";

/**
 * What a second backup of a stream uploads beyond what has changed in it, by the size of the pieces that Kopia cuts; and
 * what smaller pieces cost.
 */
test.each(["DYNAMIC-4M-BUZHASH", "DYNAMIC-1M-BUZHASH", "DYNAMIC-512K-BUZHASH"])("pieces of %s", async (algorithm) => {
  const folder = mkdtempSync(join(tmpdir(), "iab-pieces-"));
  try {
    const policies = join(scratchFolder(), "policies.json");
    writeFileSync(policies, JSON.stringify({ "iab@host1": { splitter: { algorithm } } }));
    const config = offsiteConfig({ type: "filesystem", filesystem: { path: folder } }, { create: true, policies });
    const archive = await prepareArchive(archiveOptions(config), AbortSignal.timeout(600_000));
    const extra = await beyondTheChange(archive, folder);
    const [used, indexed] = [childSeconds(), bytesIn(folder, /^x/)];
    await backUp(archive, "speed", bytesOf("speed", 1024 * MIB));
    const seconds = childSeconds() - used;
    const index = bytesIn(folder, /^x/) - indexed;
    await archive.close();
    for (const [how, bytes] of extra) say(`${algorithm}: ${how}: at most ${(bytes / MIB).toFixed(2)} MiB beyond`);
    say(
      `${algorithm}: 1 GiB takes ${seconds.toFixed(1)} s of the processor, and ${Math.round(index / 1024)} KiB of indexes`,
    );
    expect(extra.size).toBe(2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The most that any round uploaded beyond what had changed, by the kind of change. */
async function beyondTheChange(archive: Archive, folder: string): Promise<Map<string, number>> {
  const most = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const at = (round * 37 + 11) * MIB + 12_345;
    for (const [how, bytes] of Object.entries(changesOf(String(round), at))) {
      const path = `${round} ${how}`;
      await backUp(archive, path, bytesOf(path, SIZE));
      const before = bytesIn(folder);
      await backUp(archive, path, bytes(path));
      most.set(how, Math.max(most.get(how) ?? 0, bytesIn(folder) - before - CHANGE));
    }
  }
  return most;
}

function changesOf(seed: string, at: number): Record<string, (path: string) => Iterable<Buffer>> {
  const whole = (path: string) => Buffer.concat([...bytesOf(path, SIZE)]);
  const fresh = () => Buffer.concat([...bytesOf(`${seed} new`, CHANGE)]);
  return {
    [OVERWRITTEN]: (path) => {
      const bytes = whole(path);
      fresh().copy(bytes, at);
      return parts(bytes);
    },
    [SCATTERED]: (path) => {
      const bytes = whole(path);
      for (let place = 0; place < 64; place += 1) {
        fresh().copy(bytes, place * 4 * MIB + 98_765, place * MIB, (place + 1) * MIB);
      }
      return parts(bytes);
    },
  };
}

function* parts(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += MIB) yield bytes.subarray(at, at + MIB);
}

async function backUp(archive: Archive, path: string, bytes: Iterable<Buffer>): Promise<void> {
  async function* stream() {
    yield* bytes;
  }
  const what = { path: `/bench/${encodeURIComponent(path)}`, description: "", tags: {} };
  await archive.backUpStream({ name: "disk.img", bytes: stream() }, what, AbortSignal.timeout(600_000));
}

function bytesIn(folder: string, names = /\.f$/): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files
    .filter(({ name, parentPath }) => names.test(names.source === "^x" ? blobOf(parentPath, folder, name) : name))
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** Kopia shards the names of its files over folders. */
function blobOf(parent: string, folder: string, name: string): string {
  return parent.slice(folder.length).replaceAll("/", "") + name;
}

/** What the programs that have ended took of the processor, in seconds. */
function childSeconds(): number {
  const [user = 0, system = 0] =
    readFileSync("/proc/self/stat", "latin1").split(") ")[1]?.split(" ").slice(13, 15).map(Number) ?? [];
  return (user + system) / 100;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
