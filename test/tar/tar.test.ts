import { execFileSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { readTar } from "../../src/tar/read.ts";
import { editTar } from "../../src/tar/write.ts";
import { gather, inParts, type Made, tarOf } from "./tars.ts";

const asIs = () => ({ keep: true }) as const;
const pass = (bytes: AsyncIterable<Uint8Array>) => gather(editTar(bytes, "the export", asIs));

const name = fc.oneof(
  fc.stringMatching(/^[a-z./]{1,20}$/),
  fc.stringMatching(/^[a-z/]{101,300}$/),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }).filter((text) => !text.includes("\0")),
);
const content = fc.oneof(
  fc.uint8Array({ maxLength: 1600 }).map((bytes) => Buffer.from(bytes)),
  // What looks like the end of a tar, and is none.
  fc.integer({ min: 0, max: 6 }).map((blocks) => Buffer.alloc(blocks * 512)),
);
const made: fc.Arbitrary<Made> = fc.oneof(
  fc.record({ path: name, content }),
  fc.record({ path: name, type: fc.constantFrom("1", "2", "3", "4", "5", "6") }),
  fc.record({ path: name, content, attributes: fc.dictionary(fc.stringMatching(/^[a-z.]{1,20}$/), fc.string()) }),
);
// The words that mean something to a reader of tars.
const entries = fc.array(
  made.filter(({ attributes = {} }) => !["path", "size", "linkpath", "mtime"].some((key) => key in attributes)),
  { maxLength: 5 },
);
const lengths = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 5 });

test("editTar() that edits nothing passes every byte on, however the stream is cut into parts", async () => {
  await fc.assert(
    fc.asyncProperty(entries, lengths, async (list, parts) => {
      const tar = tarOf(list);
      expect((await pass(inParts(tar, parts))).equals(tar)).toBe(true);
    }),
  );
});

test("editTar() throws, and keeps the end marker back, wherever a tar is cut off", async () => {
  await fc.assert(
    fc.asyncProperty(entries, lengths, fc.double({ min: 0, max: 1, noNaN: true }), async (list, parts, where) => {
      const tar = tarOf(list);
      const cut = tar.subarray(0, Math.floor(where * (tar.length - 1)));
      const passed: Uint8Array[] = [];
      const reading = (async () => {
        for await (const part of editTar(inParts(cut, parts), "the export", asIs)) passed.push(part);
      })();
      await expect(reading).rejects.toMatchObject({ code: "incus.bad-reply" });
      expect(Buffer.concat(passed).length).toBeLessThan(tar.length - 1023);
    }),
    { numRuns: 300 },
  );
});

test("editTar() throws at each single place where a small tar with everything in it is cut off", async () => {
  const tar = tarOf([
    { path: "backup/index.yaml", content: Buffer.from("name: web1\n") },
    {
      path: `backup/${"deep/".repeat(30)}file`,
      content: Buffer.alloc(700),
      attributes: { "SCHILY.xattr.user.a": "b" },
    },
    { path: "backup/container", type: "5" },
  ]);
  for (let length = 0; length < tar.length; length += 1) {
    await expect(pass(inParts(tar.subarray(0, length)))).rejects.toMatchObject({ code: "incus.bad-reply" });
  }
  expect((await pass(inParts(tar))).equals(tar)).toBe(true);
});

const sound = tarOf([{ path: "backup/index.yaml", content: Buffer.from("name: web1\n") }]);
const spoilt: { name: string; bytes: Buffer; why: RegExp }[] = [
  { name: "nothing at all", bytes: Buffer.alloc(0), why: /it ends where a header is due/ },
  { name: "a page of a proxy", bytes: Buffer.from("<html>".repeat(200)), why: /it is no tar, or damaged/ },
  {
    name: "an error behind the end",
    bytes: Buffer.concat([sound, Buffer.from('{"error":"x"}')]),
    why: /goes on after/,
  },
  { name: "a second tar behind the end", bytes: Buffer.concat([sound, sound]), why: /goes on after its end/ },
  {
    name: "one empty block only",
    bytes: Buffer.concat([sound.subarray(0, -512), sound]),
    why: /goes on after an empty block/,
  },
  { name: "a flipped bit in a header", bytes: flipped(sound, 130), why: /it is no tar, or damaged/ },
];

test.each(spoilt)("editTar() says what is wrong with $name", async ({ bytes, why }) => {
  await expect(pass(inParts(bytes))).rejects.toThrow(why);
});

test("editTar() takes the zeros that other programs fill their last record with", async () => {
  const filled = Buffer.concat([sound, Buffer.alloc(9000)]);
  expect((await pass(inParts(filled))).equals(sound)).toBe(true);
});

test("editTar() hands an error of the stream on as it is", async () => {
  const broken = new Error("the operation failed");
  async function* failing() {
    yield sound;
    throw broken;
  }
  await expect(pass(failing())).rejects.toBe(broken);
});

test("editTar() replaces, renames and drops entries, and GNU tar reads what comes out", async () => {
  const folder = scratch();
  const long = `backup/container/${"very/".repeat(40)}long ünïcode`;
  const tar = tarOf([
    { path: "backup/index.yaml", content: Buffer.from("old") },
    { path: "gone", content: Buffer.alloc(3000, 1) },
    { path: "short", content: Buffer.from("renamed"), attributes: { "SCHILY.xattr.user.a": "b" } },
    { path: "kept", content: Buffer.alloc(100_000, 2) },
  ]);
  const edited = editTar(inParts(tar), "the export", ({ path }) => {
    if (path === "backup/index.yaml") return { content: Buffer.from("much newer") };
    if (path === "gone") return { drop: true };
    return path === "short" ? { path: long } : { modifiedAtSeconds: 86_400 };
  });
  writeFileSync(join(folder, "x.tar"), await gather(edited));
  execFileSync("tar", ["xf", "x.tar"], { cwd: folder });
  expect(readFileSync(join(folder, "backup/index.yaml"), "utf8")).toBe("much newer");
  expect(readFileSync(join(folder, long), "utf8")).toBe("renamed");
  expect(readFileSync(join(folder, "kept")).length).toBe(100_000);
  expect(execFileSync("tar", ["tvf", "x.tar", "--utc"], { cwd: folder, encoding: "utf8" })).toContain("1970-01-02");
});

test("readTar() reads what GNU tar writes in any of its formats, sparse files apart", async () => {
  const folder = scratch();
  const deep = join(folder, "data", "x".repeat(120));
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "y".repeat(90)), "long");
  linkSync(join(deep, "y".repeat(90)), join(folder, "data", "hard"));
  symlinkSync("z".repeat(150), join(folder, "data", "soft"));
  for (const format of ["gnu", "pax", "posix"]) {
    execFileSync("tar", ["cf", "x.tar", `--format=${format}`, "--sort=name", "data"], { cwd: folder });
    const tar = readFileSync(join(folder, "x.tar"));
    const paths: string[] = [];
    for await (const { path } of readTar(inParts(tar, [700]), "x.tar")) paths.push(path.replace(/\/$/, ""));
    const listed = execFileSync("tar", ["tf", "x.tar"], { cwd: folder, encoding: "utf8" }).trim().split("\n");
    expect(paths).toEqual(listed.map((path) => path.replace(/\/$/, "")));
  }
});

test("readTar() knows sizes beyond 8 GiB in both forms", async () => {
  const folder = scratch();
  writeFileSync(join(folder, "disk.img"), "");
  truncateSync(join(folder, "disk.img"), 9 * 1024 ** 3);
  for (const format of ["gnu", "posix"]) {
    const head = execFileSync("sh", ["-c", `tar c --format=${format} disk.img | head -c 4096`], {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [first] = await firstOf(head);
    expect(first).toEqual({ path: "disk.img", size: 9 * 1024 ** 3 });
  }
});

async function firstOf(bytes: Buffer): Promise<{ path: string; size: number }[]> {
  for await (const { path, size } of readTar(inParts(bytes), "x.tar")) return [{ path, size }];
  return [];
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "iab-tar-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
