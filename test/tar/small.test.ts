import { expect, test } from "vitest";
import { type NewSmallEntry, tarOf, untar } from "../../src/tar/small.ts";

const file = (path: string, text: string): NewSmallEntry => {
  return { path, isFolder: false, bytes: Buffer.from(text), changedAt: Date.UTC(2020, 0, 1) };
};
const folder = (path: string): NewSmallEntry => ({ ...file(path, ""), isFolder: true });

const textsIn = async (tar: Buffer) => {
  const entries = await untar(tar, "the backup");
  return entries.map(({ path, isFolder, bytes }) => [path, isFolder, String(bytes)]);
};

test("untar() reads what tarOf() has written", async () => {
  const long = "x".repeat(1300);
  const deep = `backup/${"deep/".repeat(30)}end`;
  const tar = tarOf([folder("a"), file("a/b", "hello"), file("empty", ""), file("long", long), file(deep, "1")]);
  expect(tar.length % 512).toBe(0);
  expect(await textsIn(tar)).toEqual([
    ["a", true, ""],
    ["a/b", false, "hello"],
    ["empty", false, ""],
    ["long", false, long],
    [deep, false, "1"],
  ]);
});

test("tarOf() dates what it writes", () => {
  expect(tarOf([file("a", "")]).toString("latin1", 136, 147)).toBe(
    (Date.UTC(2020, 0, 1) / 1000).toString(8).padStart(11, "0"),
  );
});

test.each([100, 511, 600, 1600])(
  "untar() does not take a tar for whole that breaks off after %d bytes",
  async (length) => {
    const tar = tarOf([file("a", "x".repeat(700))]);
    await expect(untar(tar.subarray(0, length), "the backup")).rejects.toThrow("Cannot read the backup: it ends");
  },
);

test("untar() leaves links out", async () => {
  const link = tarOf([file("link", "")]);
  link.write("2", 156);
  // Its checksum, for the type is two more now.
  const sum = Number.parseInt(link.toString("latin1", 148, 154), 8) + 2;
  link.write(sum.toString(8).padStart(6, "0"), 148);
  const tar = Buffer.concat([link.subarray(0, 512), tarOf([file("a", "1")])]);
  expect(await textsIn(tar)).toEqual([["a", false, "1"]]);
});
