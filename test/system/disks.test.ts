import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { systemDisks } from "../../src/system/disks.ts";

const signal = new AbortController().signal;

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "iab-disks-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("look() tells what lies at a path, and follows no link", async () => {
  const folder = scratch();
  writeFileSync(join(folder, "file"), "12345");
  symlinkSync("file", join(folder, "link"));
  expect(await systemDisks.look(join(folder, "file"))).toMatchObject({ kind: "file", sizeBytes: 5 });
  expect(await systemDisks.look(join(folder, "link"))).toMatchObject({ kind: "link" });
  expect(await systemDisks.look(folder)).toMatchObject({ kind: "folder", inode: expect.any(Number) });
  expect(await systemDisks.look("/dev/null")).toMatchObject({ kind: "other" });
  for (const missing of [join(folder, "none"), join(folder, "file", "below")]) {
    expect(await systemDisks.look(missing)).toBeUndefined();
  }
});

test("removeEmpty() removes what is empty, and nothing else", async () => {
  const folder = scratch();
  mkdirSync(join(folder, "full", "empty"), { recursive: true });
  await systemDisks.removeEmpty(join(folder, "full"));
  await systemDisks.removeEmpty(join(folder, "none"));
  expect(await systemDisks.look(join(folder, "full"))).toBeDefined();
  await systemDisks.removeEmpty(join(folder, "full", "empty"));
  await systemDisks.removeEmpty(join(folder, "full"));
  expect(await systemDisks.look(join(folder, "full"))).toBeUndefined();
});

test("bytes() gives all of a file, ends with its signal, and names what cannot be read", async () => {
  const folder = scratch();
  const content = Buffer.alloc(2_500_000, 3);
  writeFileSync(join(folder, "file"), content);
  const chunks = [];
  for await (const chunk of systemDisks.bytes(join(folder, "file"), signal)) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(content)).toBe(true);
  const ending = new AbortController();
  const ended = async () => {
    for await (const _ of systemDisks.bytes(join(folder, "file"), ending.signal)) ending.abort("SIGTERM");
  };
  await expect(ended()).rejects.toBe("SIGTERM");
  const missing = systemDisks.bytes(join(folder, "none"), signal)[Symbol.asyncIterator]().next();
  await expect(missing).rejects.toMatchObject({
    code: "storage.unusable",
    message: expect.stringMatching(/none: ENOENT$/),
  });
});

test("target() is where a link leads, and nothing where that is not there", async () => {
  const folder = scratch();
  writeFileSync(join(folder, "file"), "");
  symlinkSync("file", join(folder, "link"));
  symlinkSync("none", join(folder, "broken"));
  expect(await systemDisks.target(join(folder, "link"))).toBe(realpathSync(join(folder, "file")));
  expect(await systemDisks.target(join(folder, "broken"))).toBeUndefined();
  expect(await systemDisks.target(join(folder, "file", "below"))).toBeUndefined();
});

test("isBtrfs() is false of what is none", async () => {
  expect(await systemDisks.isBtrfs("/proc")).toBe(false);
  await expect(systemDisks.isBtrfs("/nonexistent")).rejects.toMatchObject({ code: "storage.unusable" });
});
