import fc from "fast-check";
import { expect, test } from "vitest";
import { contentDigest } from "../../src/export/content-digest.ts";
import { inParts, type Made, tarOf } from "../tar/tars.ts";

const digestOf = async (entries: readonly Made[]) =>
  (await contentDigest(inParts(tarOf(entries)), "the backup")).digest;

const tree: readonly Made[] = [
  { path: "backup/index.yaml", content: Buffer.from("name: web1\n") },
  { path: "backup/container", type: "5", mode: 0o100 },
  { path: "backup/container/backup.yaml", content: Buffer.from("a") },
  { path: "backup/container/rootfs", type: "5", mode: 0o755 },
  { path: "backup/container/rootfs/a", content: Buffer.from("one"), attributes: { "SCHILY.xattr.user.a": "1" } },
  { path: "backup/container/rootfs/b", content: Buffer.from("two") },
];

function changed(at: number, change: Partial<Made>): Made[] {
  return tree.map((entry, index) => (index === at ? { ...entry, ...change } : entry));
}

const differences: { name: string; entries: Made[] }[] = [
  { name: "bytes", entries: changed(5, { content: Buffer.from("twO") }) },
  { name: "a name", entries: changed(5, { path: "backup/container/rootfs/c" }) },
  { name: "a mode", entries: changed(5, { mode: 0o600 }) },
  { name: "a type", entries: changed(5, { type: "2", content: Buffer.alloc(0) }) },
  { name: "an attribute", entries: changed(4, { attributes: { "SCHILY.xattr.user.a": "2" } }) },
  { name: "one file less", entries: tree.slice(0, -1) },
  { name: "one file twice", entries: [...tree, ...tree.slice(-1)] },
];

test.each(differences)("contentDigest() tells $name apart", async ({ entries }) => {
  expect(await digestOf(entries)).not.toBe(await digestOf(tree));
});

test("contentDigest() is about the content, not about what Incus says of it or how it keeps it", async () => {
  const other = tree.map((entry, index) =>
    index < 3 ? { ...entry, mode: 0o711, ...(entry.content ? { content: Buffer.from("x") } : {}) } : entry,
  );
  expect(await digestOf(other)).toBe(await digestOf(tree));
});

test("contentDigest() is the same in whatever order", async () => {
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([...tree], { minLength: tree.length }), async (shuffled) => {
      expect(await digestOf(shuffled)).toBe(await digestOf(tree));
    }),
  );
});

test("contentDigest() of a broken file is none", async () => {
  await expect(contentDigest(inParts(tarOf(tree).subarray(0, -512)), "the backup")).rejects.toThrow(/the backup/);
});
