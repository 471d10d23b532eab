import { expect, test } from "vitest";
import { type NewTarEntry, tarOf, untar } from "../../src/incus/tar.ts";

const file = (path: string, text: string): NewTarEntry => {
  return { path, isFolder: false, bytes: Buffer.from(text), changedAt: Date.UTC(2020, 0, 1) };
};
const folder = (path: string): NewTarEntry => ({ ...file(path, ""), isFolder: true });

const textsIn = (tar: Buffer) => untar(tar).map(({ path, isFolder, bytes }) => [path, isFolder, String(bytes)]);

test("untar() reads what tarOf() has written", () => {
  const long = "x".repeat(1300);
  const tar = tarOf([folder("a"), file("a/b", "hello"), file("empty", ""), file("long", long)]);
  expect(tar.length % 512).toBe(0);
  expect(textsIn(tar)).toEqual([
    ["a", true, ""],
    ["a/b", false, "hello"],
    ["empty", false, ""],
    ["long", false, long],
  ]);
});

test.each([100, 511, 600, 1600])("untar() does not take a tar for whole that breaks off after %d bytes", (length) => {
  const tar = tarOf([file("a", "x".repeat(700))]);
  expect(() => untar(tar.subarray(0, length))).toThrow("Cannot read the backup that the server made: it breaks off");
});

/** As servers write it: the next entry's path, which may be longer than the header has room for. */
function paxHeader(path: string): Buffer {
  const record = ` path=${path}\n`;
  const length = record.length + 3;
  const tar = tarOf([file("PaxHeaders.0/x", `${length}${record}`)]).subarray(0, -1024);
  tar.write("x", 156);
  return tar;
}

test("untar() reads paths from extended headers, each for one entry", () => {
  const path = `backup/${"deep/".repeat(30)}end`;
  const tar = Buffer.concat([paxHeader(path), tarOf([file("cut", "1"), file("plain", "2")])]);
  expect(textsIn(tar)).toEqual([
    [path, false, "1"],
    ["plain", false, "2"],
  ]);
});

test("untar() leaves links out", () => {
  const tar = tarOf([file("link", ""), file("a", "1")]);
  tar.write("2", 156);
  expect(textsIn(tar)).toEqual([["a", false, "1"]]);
});

test("untar() refuses a size that cannot be read", () => {
  const tar = tarOf([file("a", "1")]);
  tar.write("zzzzzzzzzzz", 124);
  expect(() => untar(tar)).toThrow("the size of a file cannot be read");
});

test("tarOf() writes no path that has no room", () => {
  expect(() => tarOf([file("x".repeat(101), "")])).toThrow(RangeError);
});
