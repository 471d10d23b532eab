import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { prepareArchive } from "../src/kopia/open-archive.ts";
import type { Archive } from "../src/model/ports.ts";
import { archiveOptions, offsiteConfig, scratchFolder } from "../test/contract/kopia-lab.ts";
import { bytesOf } from "../test/lab/content.ts";

const MIB = 1024 * 1024;
const PIECES = ["DYNAMIC-4M-BUZHASH", "DYNAMIC-1M-BUZHASH", "DYNAMIC-512K-BUZHASH", "DYNAMIC-256K-BUZHASH"];

type Change = {
  readonly how: string;
  readonly sizeBytes: number;
  readonly changedBytes: number;
  readonly rounds: number;
  /** Where it changes, in a stream of that size. */
  readonly places: (round: number) => readonly number[];
};

// Where the pieces fall into step again after a change is a matter of luck: so that is done often.
const CHANGES: readonly Change[] = [
  {
    how: "16 MiB overwritten in one place",
    sizeBytes: 64 * MIB,
    changedBytes: 16 * MIB,
    rounds: 40,
    places: (round) => [((round % 16) + 8) * MIB + 12_345],
  },
  {
    how: "1 MiB overwritten in each of 64 places",
    sizeBytes: 256 * MIB,
    changedBytes: 64 * MIB,
    rounds: 3,
    places: () => Array.from({ length: 64 }, (_, place) => place * 4 * MIB + 98_765),
  },
];

/**
 * What a second backup of a stream uploads beyond what has changed in it, by the size of the pieces that Kopia cuts; and
 * what smaller pieces cost.
 */
test.each(PIECES)("pieces of %s", async (algorithm) => {
  const folder = mkdtempSync(join(tmpdir(), "iab-pieces-"));
  try {
    const policies = join(scratchFolder(), "policies.json");
    writeFileSync(policies, JSON.stringify({ "iab@host1": { splitter: { algorithm } } }));
    const config = offsiteConfig({ type: "filesystem", filesystem: { path: folder } }, { create: true, policies });
    const archive = await prepareArchive(archiveOptions(config), AbortSignal.timeout(1_800_000));
    for (const change of CHANGES) {
      const extra = await beyondTheChange(archive, folder, change);
      expect(extra.length).toBe(change.rounds);
      const [half, most] = [extra[extra.length >> 1] ?? 0, extra.at(-1) ?? 0].map((bytes) => (bytes / MIB).toFixed(2));
      say(`${algorithm}: ${change.how}: ${half} MiB beyond in half of ${change.rounds} rounds, ${most} MiB at most`);
    }
    const [used, indexed] = [childSeconds(), bytesIn(folder, /^x/)];
    await backUp(archive, "speed", bytesOf("speed", 1024 * MIB));
    const seconds = (childSeconds() - used).toFixed(1);
    const index = Math.round((bytesIn(folder, /^x/) - indexed) / 1024);
    await archive.close();
    say(`${algorithm}: 1 GiB takes ${seconds} s of the processor, and ${index} KiB of indexes`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** What each round uploaded beyond what had changed, the least first. */
async function beyondTheChange(archive: Archive, folder: string, change: Change): Promise<number[]> {
  const extra: number[] = [];
  for (let round = 0; round < change.rounds; round += 1) {
    const path = `${round} ${change.how}`;
    const bytes = Buffer.concat([...bytesOf(path, change.sizeBytes)]);
    await backUp(archive, path, parts(bytes));
    const before = bytesIn(folder);
    // What was uploaded for one path already would cost nothing for another.
    const fresh = Buffer.concat([...bytesOf(`${path} new`, change.changedBytes)]);
    const places = change.places(round);
    const length = change.changedBytes / places.length;
    for (const [index, at] of places.entries()) fresh.copy(bytes, at, index * length, (index + 1) * length);
    await backUp(archive, path, parts(bytes));
    extra.push(bytesIn(folder) - before - change.changedBytes);
  }
  return extra.sort((a, b) => a - b);
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
