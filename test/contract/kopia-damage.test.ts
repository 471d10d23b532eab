import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { prepareArchive } from "../../src/kopia/open-archive.ts";
import { bytesOf } from "../lab/content.ts";
import { archiveOptions, BACKENDS, offsiteConfig, scratchFolder } from "./kopia-lab.ts";

/** An archive in a folder with one stream in it, and the file that holds its content. */
async function archived(signal: AbortSignal) {
  const block = BACKENDS.filesystem();
  const archive = await prepareArchive(archiveOptions(offsiteConfig(block, { create: true })), signal);
  onTestFinished(archive.close);
  async function* bytes() {
    yield* bytesOf("content", 3_000_000);
  }
  const what = { path: "/volumes/v1", description: "a disk", tags: {} };
  const backup = await archive.backUpStream({ name: "disk.img", bytes: bytes() }, what, signal);
  const folder = block.filesystem.path;
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name));
  const [pack = ""] = paths.sort((a, b) => statSync(b).size - statSync(a).size);
  return { archive, backup, pack };
}

test("verify() reads back what has rotted in the storage, and says so", async ({ signal }) => {
  const { archive, backup, pack } = await archived(signal);
  const rotten = readFileSync(pack);
  rotten.fill(0, 1_000_000, 1_000_100);
  writeFileSync(pack, rotten);
  await expect(archive.verify([backup], { percent: 100 }, signal)).rejects.toMatchObject({
    code: "kopia.damaged",
    hint: expect.stringContaining("keep the repository as it is"),
  });
  await expect(gone(archive.read(backup, signal))).rejects.toMatchObject({ code: expect.stringMatching(/^kopia\./) });
});

test("verify() misses what has gone from the storage, whatever part is read back", async ({ signal }) => {
  const { archive, backup, pack } = await archived(signal);
  rmSync(pack);
  await expect(archive.verify([backup], { percent: 0 }, signal)).rejects.toMatchObject({ code: "kopia.damaged" });
});

test("a policy that names a splitter wrongly is an error: Kopia itself would take its own", async ({ signal }) => {
  const policies = join(scratchFolder(), "policies.json");
  writeFileSync(policies, JSON.stringify({ "(global)": { splitter: { algorithm: "DYNAMIC-128K" } } }));
  const config = offsiteConfig(BACKENDS.filesystem(), { create: true, policies });
  await expect(prepareArchive(archiveOptions(config), signal)).rejects.toMatchObject({
    code: "kopia.policy",
    message: "Cannot use the policy of (global): no splitter DYNAMIC-128K is known",
    hint: expect.stringContaining("DYNAMIC-128K-BUZHASH"),
  });
});

async function gone(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _chunk of bytes);
}
