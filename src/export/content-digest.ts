import { createHash } from "node:crypto";
import { ownersOf } from "../tar/header.ts";
import { readTar, type TarEntry } from "../tar/read.ts";
import { INDEX_PATH, INSTANCE_CONFIG_PATH } from "./backup-index.ts";

/** What a workload's file holds: the same wherever and whenever it was made, in whatever order. */
export type ContentDigest = { readonly digest: string; readonly entries: number; readonly bytes: number };

const DIGEST_BYTES = 32;
/** What Incus makes by itself, and with the rights that suit the pool. */
const OF_INCUS = /^backup\/(container|virtual-machine)\/?$/;

/** Names, types, modes, owners, links, extended attributes and bytes of all that is in a file of a workload; no times. */
export async function contentDigest(bytes: AsyncIterable<Uint8Array>, what: string): Promise<ContentDigest> {
  const sum = Buffer.alloc(DIGEST_BYTES);
  let entries = 0;
  let size = 0;
  for await (const entry of readTar(bytes, what)) {
    if (entry.path === INDEX_PATH || INSTANCE_CONFIG_PATH.test(entry.path) || OF_INCUS.test(entry.path)) continue;
    add(sum, await digestOf(entry, what));
    entries += 1;
    size += entry.size;
  }
  return { digest: sum.toString("hex"), entries, bytes: size };
}

async function digestOf(entry: TarEntry, what: string): Promise<Buffer> {
  const { path, type, size, block, records, content } = entry;
  const hash = createHash("sha256");
  const { mode, uid, gid, linkName, device } = ownersOf(block, records, what);
  // A disk's bytes count, not whose file Incus keeps them in.
  const rights = path.endsWith(".img") ? "" : `${mode.toString(8)} ${uid}:${gid}`;
  hash.update([path.replace(/\/$/, ""), type, size, rights, linkName, device].join("\0"));
  for (const [key, value] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (key.startsWith("SCHILY.xattr.")) hash.update(`\0${key}=`).update(value);
  }
  for await (const part of content) hash.update(part);
  return hash.digest();
}

/** Adds one digest to the sum of all: as numbers, so that their order does not matter. */
function add(sum: Buffer, digest: Buffer): void {
  let carry = 0;
  for (let at = DIGEST_BYTES - 1; at >= 0; at -= 1) {
    const value = (sum[at] ?? 0) + (digest[at] ?? 0) + carry;
    sum[at] = value & 0xff;
    carry = value >> 8;
  }
}
