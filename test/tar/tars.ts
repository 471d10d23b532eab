import { extension, fits, newHeader, padding } from "../../src/tar/header.ts";
import { END_MARKER } from "../../src/tar/write.ts";

export type Made = {
  readonly path: string;
  readonly content?: Buffer;
  /** A folder (`5`), a symbolic link (`2`) and so on; a file if nothing is said. */
  readonly type?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly mode?: number;
};

/** A tar as Go writes it: POSIX extensions where they are needed, and the end marker. */
export function tarOf(entries: readonly Made[]): Buffer {
  return Buffer.concat([...entries.map(bytesOf), END_MARKER]);
}

function bytesOf({ path, content = Buffer.alloc(0), type = "0", attributes = {}, mode = 0o644 }: Made): Buffer {
  const head = newHeader({ path, type, mode, size: content.length });
  const records = new Map(Object.entries(attributes).map(([key, value]) => [key, Buffer.from(value)]));
  if (records.size === 0) return Buffer.concat([head, content, padding(content.length)]);
  if (!fits(path)) records.set("path", Buffer.from(path));
  return Buffer.concat([extension(records), head.subarray(-512), content, padding(content.length)]);
}

/** The bytes in parts of the given lengths, over and over. */
export async function* inParts(bytes: Buffer, lengths: readonly number[] = [bytes.length]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = Math.max(1, lengths[turn % lengths.length] ?? bytes.length);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

export async function gather(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}
