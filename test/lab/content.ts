import { createCipheriv, createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, link, lstat, mkdir, open, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

const CHUNK_BYTES = 1 << 20;

/** Bytes that depend on nothing but the seed. */
export function* bytesOf(seed: string, sizeBytes: number): Generator<Buffer> {
  const key = createHash("sha256").update(seed).digest();
  const cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES) {
    yield cipher.update(Buffer.alloc(Math.min(left, CHUNK_BYTES)));
  }
}

/**
 * Fills a folder with a tree that depends on nothing but the seed: nested folders, files of many sizes, a symbolic link,
 * a hard link, an empty file, modes, and names that are easily spoilt.
 */
export async function writeTree(folder: string, seed: string, sizeBytes = 200_000): Promise<void> {
  const data = join(folder, "data");
  await mkdir(join(data, "deep", "er"), { recursive: true });
  await writeFiles(data, seed, sizeBytes);
  await writeFile(join(data, "empty"), "");
  await writeFile(join(data, "ünïcode and space\n.txt"), `written for ${seed}\n`);
  await symlink("deep/er", join(data, "link"));
  await link(join(data, "empty"), join(data, "deep", "hard link"));
  await chmod(join(data, "deep", "er"), 0o2750);
}

/** Changes a tree of `writeTree()`: removes one file, rewrites one, adds the ones of the new seed. */
export async function changeTree(folder: string, seed: string, sizeBytes = 50_000): Promise<void> {
  const data = join(folder, "data");
  const [oldest] = (await readdir(data)).filter((name) => name.startsWith("file-")).sort();
  if (oldest !== undefined) await rm(join(data, oldest));
  await writeFiles(data, seed, sizeBytes);
}

async function writeFiles(data: string, seed: string, sizeBytes: number): Promise<void> {
  const halves = [2, 4, 8, 16, 32].map((part) => Math.floor(sizeBytes / part));
  for (const [index, size] of halves.entries()) {
    const name = index % 2 === 0 ? `file-${seed}-${index}` : join("deep", "er", `file-${seed}-${index}`);
    await writeBytes(join(data, name), `${seed}/${index}`, size, 0);
    await chmod(join(data, name), 0o600 + index);
  }
  await writeFile(join(data, "common"), `last changed by ${seed}\n`);
}

/** Writes the bytes of a seed into a file from an offset on, and leaves the rest of it as it is. */
export async function writeBytes(path: string, seed: string, sizeBytes: number, offset: number): Promise<void> {
  const file = await open(path, offset === 0 ? "w" : "r+").catch(() => open(path, "w"));
  try {
    let position = offset;
    for (const bytes of bytesOf(seed, sizeBytes)) {
      await file.write(bytes, 0, bytes.length, position);
      position += bytes.length;
    }
  } finally {
    await file.close();
  }
}

/**
 * SHA-256 over all of a folder or of a file: names, types, modes, owners, link targets and bytes, but no times.
 * Two folders have the same digest when a backup has lost nothing of one in the other.
 */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const line of describe(path, ".")) hash.update(`${line}\0`);
  return hash.digest("hex");
}

async function* describe(path: string, name: string): AsyncGenerator<string> {
  const facts = await lstat(path);
  const head = `${name}\0${facts.mode.toString(8)} ${facts.uid}:${facts.gid}`;
  if (facts.isSymbolicLink()) yield `${head} -> ${await readlink(path)}`;
  else if (facts.isFile()) yield `${head} ${facts.size} ${await digestOfFile(path)}`;
  else yield head;
  if (!facts.isDirectory()) return;
  for (const child of (await readdir(path)).sort()) yield* describe(join(path, child), `${name}/${child}`);
}

/** SHA-256 of a file's bytes. */
export async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path, { highWaterMark: CHUNK_BYTES })) hash.update(bytes);
  return hash.digest("hex");
}
