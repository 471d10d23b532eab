import { expect, test } from "vitest";
import type { Files } from "../../src/model/ports.ts";
import { parseList, parseShow } from "../../src/storage/btrfs.ts";
import { nestedIn } from "../../src/storage/btrfs-tree.ts";
import { isAtWork, ownHolder } from "../../src/storage/holder.ts";
import { parseMounts } from "../../src/storage/mounts.ts";
import { systemFiles } from "../../src/system/files.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";

const signal = new AbortController().signal;

// As btrfs-progs 6.14 prints it where a part of the file system is mounted.
const LIST = `ID 256 gen 9 top level 5 parent_uuid -                                    uuid 62c47e81-42e0-0744-9db5-954e533e16da path <FS_TREE>/pool
ID 257 gen 9 top level 256 parent_uuid -                                    uuid 1dc87c8c-8b2b-284e-a194-00de4983bb2c path pool/containers/c1
ID 261 gen 10 top level 256 parent_uuid 1dc87c8c-8b2b-284e-a194-00de4983bb2c uuid c863a085-d755-5e48-8140-77123311d9b1 path pool/.iab/s
ID 260 gen 9 top level 257 parent_uuid -                                    uuid 76d54d0c-2304-fe44-954e-55a6e75f104e path <FS_TREE>/pool/containers/c1/new
line
ID 7 gen 1 of it
ID 262 gen 9 top level 260 parent_uuid -                                    uuid 9b1c6f02-7f64-0d4b-a8ab-5f26cf2b9b8c path <FS_TREE>/pool/containers/c1/new
line
ID 7 gen 1 of it/below
`;

test("parseList() reads names that hold blanks, line breaks and what looks like an entry", () => {
  const list = parseList(LIST);
  expect(list.map(({ id, path }) => [id, path])).toEqual([
    ["256", "pool"],
    ["257", "pool/containers/c1"],
    ["261", "pool/.iab/s"],
    ["260", "pool/containers/c1/new\nline\nID 7 gen 1 of it"],
    ["262", "pool/containers/c1/new\nline\nID 7 gen 1 of it/below"],
  ]);
  expect(list[2]).toMatchObject({ parentUuid: "1dc87c8c-8b2b-284e-a194-00de4983bb2c" });
  expect(list[1]?.parentUuid).toBeUndefined();
  expect(nestedIn("pool/containers/c1", list).map(({ below }) => below)).toEqual([
    "new\nline\nID 7 gen 1 of it",
    "new\nline\nID 7 gen 1 of it/below",
  ]);
  expect(nestedIn("", list)).toHaveLength(5);
  expect(parseList("")).toEqual([]);
});

test("parseList() throws where btrfs says something else", () => {
  expect(() => parseList("Subvolumes: none\n")).toThrow(
    /^Cannot understand what btrfs subvolume list says: "Subvolumes/,
  );
});

test.each([
  { first: "/", path: "", parent: "-", parentUuid: undefined },
  { first: "pool/.iab/s", path: "pool/.iab/s", parent: "1dc8-7c8c", parentUuid: "1dc8-7c8c" },
])("parseShow() reads $first", ({ first, path, parent, parentUuid }) => {
  const text = `${first}\n\tName: \t\t\ts\n\tUUID: \t\t\tc863-a085\n\tParent UUID: \t\t${parent}\n\tReceived UUID: \t\t-\n\tSubvolume ID: \t\t261\n`;
  expect(parseShow(text, "/x")).toEqual({ id: "261", uuid: "c863-a085", parentUuid, path });
});

test("parseMounts() gives the newest first, and paths as they are", () => {
  const text = `571 644 0:208 / / rw,relatime shared:1 - btrfs /dev/loop24 rw,subvolid=5
9 1 0:9 / /run/a\\040b\\134c ro - zfs tank/x@s ro
`;
  expect(parseMounts(text)).toEqual([
    { source: "tank/x@s", path: "/run/a b\\c" },
    { source: "/dev/loop24", path: "/" },
  ]);
});

test("isAtWork() knows this process, and none that has its number after it", async () => {
  const own = await ownHolder(systemFiles, signal);
  expect(await isAtWork(own, systemFiles, signal)).toBe(true);
  const [boot, pid, start] = own.split(".");
  expect(pid).toBe(String(process.pid));
  for (const other of [`${boot}.${pid}.1`, `x.${pid}.${start}`, `${boot}.4194305.${start}`, ""]) {
    expect(await isAtWork(other, systemFiles, signal), other).toBe(false);
  }
});

test("isAtWork() takes a process that has ended, and that nobody has asked after, for gone", async () => {
  const statOf = (state: string) => `12 (a) b) ${state} 1 ${"0 ".repeat(17)}77 0`;
  const files = (state: string): Files => {
    const texts = { "/proc/sys/kernel/random/boot_id": "b\n", "/proc/12/stat": statOf(state) };
    return memoryWorld({ files: texts }).files;
  };
  expect(await isAtWork("b.12.77", files("S"), signal)).toBe(true);
  expect(await isAtWork("b.12.77", files("Z"), signal)).toBe(false);
});
