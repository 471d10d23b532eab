import { BLOCK_BYTES, changedHeader, extension, fits, newHeader, padding } from "./header.ts";
import { readTar, type TarEntry } from "./read.ts";

/** What becomes of an entry on its way from one tar to another. */
export type TarEdit =
  | { readonly keep: true }
  | { readonly drop: true }
  /** The same, but for when it was last changed. */
  | { readonly modifiedAtSeconds: number }
  /** The same under another name, and with another mode where one is given. */
  | { readonly path: string; readonly mode?: number }
  /** A file with other content, and nothing of what the old one had beyond its mode and owner. */
  | { readonly content: Buffer };

export const END_MARKER = Buffer.alloc(2 * BLOCK_BYTES);
const BATCH_BYTES = 64 * 1024;

/** A tar's entries as bytes again, each one edited. Its end marker is not among them. */
export async function* editedEntries(
  bytes: AsyncIterable<Uint8Array>,
  what: string,
  edit: (entry: TarEntry) => TarEdit,
): AsyncGenerator<Buffer> {
  for await (const entry of readTar(bytes, what)) {
    const decided = edit(entry);
    if ("drop" in decided) continue;
    yield headOf(entry, decided);
    if ("content" in decided) {
      yield* [decided.content, padding(decided.content.length)];
      continue;
    }
    yield* entry.content;
    yield padding(entry.size);
  }
}

/**
 * A tar, edited entry by entry. Its end marker comes only when the original was read to its own and the stream behind it
 * has ended in good order; until then whatever is wrong throws.
 */
export async function* editTar(
  bytes: AsyncIterable<Uint8Array>,
  what: string,
  edit: (entry: TarEntry) => TarEdit,
): AsyncGenerator<Buffer> {
  yield* batched(editedEntries(bytes, what, edit));
  yield END_MARKER;
}

/** A file of ours as a tar has it. */
export function* fileEntry(path: string, mode: number, content: Buffer): Generator<Buffer> {
  yield newHeader({ path, type: "0", mode, size: content.length });
  yield content;
  yield padding(content.length);
}

/** Small parts put together: what reads them is asked less often. */
export async function* batched(parts: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let batch: Buffer[] = [];
  let size = 0;
  for await (const part of parts) {
    if (part.length === 0) continue;
    batch.push(part);
    size += part.length;
    if (size < BATCH_BYTES) continue;
    yield batch.length === 1 ? part : Buffer.concat(batch);
    batch = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(batch);
}

function headOf(entry: TarEntry, edit: Exclude<TarEdit, { drop: true }>): Buffer {
  if ("keep" in edit) return entry.head;
  if ("content" in edit) {
    const { path, block } = entry;
    const changes = { name: path, size: edit.content.length, modifiedAtSeconds: 0 };
    return withRecords(new Map(fits(path) ? [] : [["path", Buffer.from(path)]]), changedHeader(block, changes));
  }
  const records = new Map(entry.records);
  if ("path" in edit) {
    if (fits(edit.path)) records.delete("path");
    else records.set("path", Buffer.from(edit.path));
    return withRecords(records, changedHeader(entry.block, { ...edit, name: edit.path }));
  }
  records.delete("mtime");
  return withRecords(records, changedHeader(entry.block, edit));
}

function withRecords(records: ReadonlyMap<string, Buffer>, header: Buffer): Buffer {
  return records.size === 0 ? header : Buffer.concat([extension(records), header]);
}
