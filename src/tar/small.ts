import { type EpochMs, SECOND_MS } from "../model/time.ts";
import { newHeader, padding } from "./header.ts";
import { readTar } from "./read.ts";
import { END_MARKER } from "./write.ts";

/** A file of a tar, or a folder; its content is empty then. */
export type SmallEntry = { readonly path: string; readonly isFolder: boolean; readonly bytes: Uint8Array };

/** An entry to write, and when its content was last changed. */
export type NewSmallEntry = SmallEntry & { readonly changedAt: EpochMs };

/** A tar of files and folders, all in memory. */
export function tarOf(entries: readonly NewSmallEntry[]): Buffer {
  const parts = entries.flatMap(({ path, isFolder, bytes, changedAt }) => {
    const kind = isFolder ? { path: `${path}/`, type: "5", mode: 0o750 } : { path, type: "0", mode: 0o640 };
    const modifiedAtSeconds = Math.floor(changedAt / SECOND_MS);
    return [newHeader({ ...kind, size: bytes.length, modifiedAtSeconds }), bytes, padding(bytes.length)];
  });
  return Buffer.concat([...parts, END_MARKER]);
}

/** The files and folders of a tar, all in memory; links and the like are left out. */
export async function untar(tar: Buffer, what: string): Promise<readonly SmallEntry[]> {
  const entries: SmallEntry[] = [];
  for await (const { path, type, content } of readTar(inOnePart(tar), what)) {
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(part);
    const isFolder = type === "5";
    if (isFolder || type === "0")
      entries.push({ path: path.replace(/\/+$/, ""), isFolder, bytes: Buffer.concat(parts) });
  }
  return entries;
}

async function* inOnePart(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
