import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemFiles } from "../../src/system/files.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "iab-files-"));
});
afterEach(() => rm(folder, { recursive: true }));

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

test("writePrivate() makes file and folders for the owner only, and leaves no draft behind", async () => {
  const path = join(folder, "a", "b", "key");
  await systemFiles.writePrivate(path, "one");
  await systemFiles.writePrivate(path, "two");
  expect(await readFile(path, "utf8")).toBe("two");
  expect(await modeOf(path)).toBe(0o600);
  expect(await modeOf(join(folder, "a", "b"))).toBe(0o700);
  expect(await readdir(join(folder, "a", "b"))).toEqual(["key"]);
});

test("writePrivate() closes a file that was open, and leaves the rights of a folder that is there", async () => {
  await chmod(folder, 0o755);
  const path = join(folder, "key");
  await systemFiles.writePrivate(path, "one");
  await chmod(path, 0o644);
  await systemFiles.writePrivate(path, "two");
  expect(await modeOf(path)).toBe(0o600);
  expect(await modeOf(folder)).toBe(0o755);
});

test.each(["/proc/iab/key", "/proc/iab/deeper/key"])(
  "writePrivate() says that no folder can be made for %s",
  async (path) => {
    await expect(systemFiles.writePrivate(path, "x")).rejects.toMatchObject({ code: "files.unusable" });
  },
);

test("writePrivate() says what is wrong where a file is in the way of a folder", async () => {
  await systemFiles.writePrivate(join(folder, "file"), "one");
  for (const below of ["file/key", "file/deeper/key"])
    await expect(systemFiles.writePrivate(join(folder, below), "x")).rejects.toThrow(/Cannot write \S+: /);
});

test("writePrivate() keeps the old file where it cannot write the new one", async () => {
  await mkdir(join(folder, "key"));
  await expect(systemFiles.writePrivate(join(folder, "key"), "x")).rejects.toMatchObject({ code: "files.unusable" });
  expect(await readdir(folder)).toEqual(["key"]);
});

test("privateFolder() closes a folder that was open", async () => {
  await chmod(folder, 0o755);
  await systemFiles.privateFolder(folder);
  expect(await modeOf(folder)).toBe(0o700);
});

test("read() names the file and why it cannot be read", async ({ signal }) => {
  const path = join(folder, "none.json");
  await expect(systemFiles.read(path, signal)).rejects.toMatchObject({
    code: "files.unusable",
    message: `Cannot read ${path}: there is no such file or folder`,
  });
  await expect(systemFiles.read(folder, signal)).rejects.toMatchObject({
    message: `Cannot read ${folder}: it is a folder`,
  });
});

test("mode() tells who may use a file, and names one that is not there", async () => {
  const path = join(folder, "key");
  await systemFiles.writePrivate(path, "one");
  expect((await systemFiles.mode(path)) & 0o777).toBe(0o600);
  await chmod(path, 0o640);
  expect((await systemFiles.mode(path)) & 0o777).toBe(0o640);
  await expect(systemFiles.mode(join(folder, "none"))).rejects.toMatchObject({
    code: "files.unusable",
    message: expect.stringMatching(/none: there is no such file or folder$/),
  });
});

test("exists() and remove() take a missing file as it is", async () => {
  const path = join(folder, "file");
  expect(await systemFiles.exists(path)).toBe(false);
  await systemFiles.writePrivate(path, "");
  expect(await systemFiles.exists(path)).toBe(true);
  await systemFiles.remove(path);
  await systemFiles.remove(path);
  expect(await systemFiles.exists(path)).toBe(false);
});
