import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemFiles } from "../../src/system/files.ts";
import { systemLocks } from "../../src/system/lock.ts";

let folder = "";
let config = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "iab-lock-"));
  config = join(folder, "config.json");
  await writeFile(config, "{}");
});
afterEach(() => rm(folder, { recursive: true }));

test("lock() is exclusive, names its holder and can be taken again once it is released", async () => {
  const held = await systemFiles.lock(config);
  await expect(systemFiles.lock(config)).rejects.toMatchObject({
    code: "lock.held",
    message: expect.stringMatching(new RegExp(`config\\.json: process ${process.pid}, since 20\\d\\d-.*Z$`)),
  });
  await held.release();
  await (await systemFiles.lock(config)).release();
});

test("holder() names who holds a lock, and keeps nobody out", async () => {
  expect(await systemFiles.holder(config)).toBeUndefined();
  const held = await systemFiles.lock(config);
  expect(await systemFiles.holder(config)).toMatch(new RegExp(`^process ${process.pid}, since 20`));
  await held.release();
  expect(await systemFiles.holder(config)).toBeUndefined();
  await (await systemFiles.lock(config)).release();
});

test("lock() knows a file by whichever path leads to it, and tells files apart", async () => {
  const other = join(folder, "other.json");
  await writeFile(other, "{}");
  await symlink(config, join(folder, "link.json"));
  const held = await systemFiles.lock(config);
  await expect(systemFiles.lock(join(folder, "link.json"))).rejects.toMatchObject({ code: "lock.held" });
  await (await systemFiles.lock(other)).release();
  await held.release();
});

test("lock() is free at once when its holder was killed", async () => {
  const holder = spawn(process.execPath, ["--input-type=module", "-e", HOLD], {
    env: { ...process.env, CONFIG: config },
  });
  await once(holder.stdout, "data");
  await expect(systemFiles.lock(config)).rejects.toMatchObject({
    message: expect.stringContaining(`process ${holder.pid},`),
  });
  holder.kill("SIGKILL");
  await once(holder, "close");
  await (await systemFiles.lock(config)).release();
});

test("lock() takes a file before it is there, and holds it afterwards", async () => {
  const path = join(folder, "new.json");
  const held = await systemFiles.lock(path);
  await writeFile(path, "{}");
  await expect(systemFiles.lock(path)).rejects.toMatchObject({ code: "lock.held" });
  await held.release();
});

test("lock() of a file in a folder that is not there says so", async () => {
  await expect(systemFiles.lock(join(folder, "none", "x.json"))).rejects.toMatchObject({ code: "files.unusable" });
});

test("take() is exclusive by name, and ask() hears what the holder tells at that moment", async () => {
  const name = `test ${folder}`;
  let told = "10 %";
  const held = await systemLocks.take(name, () => told);
  await expect(systemLocks.take(name, () => "")).rejects.toMatchObject({
    code: "lock.held",
    message: expect.stringMatching(new RegExp(`lock of test .*: process ${process.pid}, since 20\\d\\d-.*Z$`)),
  });
  told = "20 %\nand more";
  expect(await systemLocks.ask(name)).toBe("20 %\nand more");
  await held.release();
  expect(await systemLocks.ask(name)).toBeUndefined();
});

test("ask() is answered nothing by a holder that is stopped, rather than that there is none", async () => {
  const holder = spawn(process.execPath, ["--input-type=module", "-e", HOLD], {
    env: { ...process.env, CONFIG: config, NAMED: folder },
  });
  await once(holder.stdout, "data");
  holder.kill("SIGSTOP");
  expect(await systemLocks.ask(folder)).toBe("");
  holder.kill("SIGKILL");
  await once(holder, "close");
  expect(await systemLocks.ask(folder)).toBeUndefined();
});

// The holder is a process of its own, bundled on the fly since Node 20 reads no TypeScript.
const HOLD = `
  import { buildSync } from "esbuild";
  const { outputFiles } = buildSync({ entryPoints: ["src/system/lock.ts"], bundle: true, platform: "node", format: "esm", write: false });
  const { systemLocks, takeLock } = await import("data:text/javascript;base64," + Buffer.from(outputFiles[0].contents).toString("base64"));
  await takeLock(process.env.CONFIG);
  if (process.env.NAMED) await systemLocks.take(process.env.NAMED, () => "told");
  console.log("held");
  setInterval(() => {}, 1000);
`;
