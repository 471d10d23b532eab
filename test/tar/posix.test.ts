import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { importTar } from "../../src/export/import-tar.ts";
import { posixTar } from "../../src/tar/posix.ts";
import { gather, inParts, tarOf } from "./tars.ts";

// As Go counts: a folder, and what POSIX has as 4000, 2000 and 1000.
const [FOLDER, SETUID, SETGID, STICKY] = [2 ** 31, 2 ** 23, 2 ** 22, 2 ** 20];
const OF_KOPIA = tarOf([
  { path: "shared", type: "5", mode: FOLDER + SETGID + 0o750 },
  { path: "tmp", type: "5", mode: FOLDER + STICKY + 0o777 },
  { path: "sudo", content: Buffer.from("x"), mode: SETUID + 0o755 },
  { path: "plain", content: Buffer.from("y"), mode: 0o640 },
]);
const MODES = { shared: 0o2750, tmp: 0o1777, sudo: 0o4755, plain: 0o640 };

function modesIn(tar: Buffer, below: string): Record<string, number> {
  const folder = mkdtempSync(join(tmpdir(), "iab-tar-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  execFileSync("tar", ["xpf", "-", "--no-same-owner", "-C", folder], { input: tar });
  const mode = (name: string) => statSync(join(folder, below, name)).mode & 0o7777;
  return Object.fromEntries(Object.keys(MODES).map((name) => [name, mode(name)]));
}

test("posixTar() keeps what Kopia says of set-user, set-group and sticky bits in Go's own way", async () => {
  expect(modesIn(await gather(posixTar(inParts(OF_KOPIA), "a backup")), "")).toEqual(MODES);
});

test("importTar() keeps them too: a restored sudo is still one", async () => {
  const record = {
    kind: "volume",
    volume: { name: "v", project: "default", config: {}, content_type: "filesystem" },
    pool: { name: "local", driver: "btrfs" },
  } as const;
  const contents = { folders: [{ below: "", tar: inParts(OF_KOPIA), root: undefined }], disk: undefined };
  expect(modesIn(await gather(importTar(record, contents, "a backup")), "backup/volume")).toEqual(MODES);
});
