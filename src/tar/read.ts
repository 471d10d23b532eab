import { ByteSource } from "./byte-source.ts";
import { BLOCK_BYTES, brokenTar, paddingBytes, parseExtension, parseHeader } from "./header.ts";

/** One entry of a tar: a file, a folder, a link and so on. */
export type TarEntry = {
  readonly path: string;
  readonly type: string;
  /** Of its content. */
  readonly size: number;
  /** Its header block. */
  readonly block: Buffer;
  /** All blocks that lead it in, extensions and header, as they came. */
  readonly head: Buffer;
  /** What its extensions say, whatever form they have. */
  readonly records: ReadonlyMap<string, Buffer>;
  /** Its content, to be read before the next entry is asked for; what is left of it then is passed over. */
  readonly content: AsyncGenerator<Buffer>;
};

/** Far more than all attributes of a file may amount to. */
const MOST_EXTENSION_BYTES = 64 * 1024 * 1024;
const FILES = ["0", "7"];
const WITHOUT_CONTENT = ["1", "2", "3", "4", "5", "6"];
const LONG_NAMES: Readonly<Record<string, string>> = { L: "path", K: "linkpath" };

/**
 * The entries of a tar, one after the other. It ends well only where the tar does: with its two empty blocks where a
 * header is due, and after them nothing but zeros until the stream ends in good order.
 */
export async function* readTar(bytes: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<TarEntry> {
  const source = new ByteSource(bytes);
  try {
    for (;;) {
      const reading = await nextEntry(source, what);
      if (reading === undefined) return await passEnd(source, what);
      yield reading.entry;
      await reading.passRest();
    }
  } finally {
    await source.leave();
  }
}

type Reading = { readonly entry: TarEntry; readonly passRest: () => Promise<void> };

async function nextEntry(source: ByteSource, what: string): Promise<Reading | undefined> {
  const records = new Map<string, Buffer>();
  const blocks: Buffer[] = [];
  let extensionBytes = 0;
  for (;;) {
    const block = await whole(source, BLOCK_BYTES, "where a header is due", what);
    if (isEmpty(block)) {
      if (blocks.length > 0) throw brokenTar(what, "it ends after half a header");
      return undefined;
    }
    blocks.push(block);
    const header = parseHeader(block, what);
    if (!["x", "g", ...Object.keys(LONG_NAMES)].includes(header.type)) {
      return entryOf(source, { ...header, block, head: Buffer.concat(blocks), records }, what);
    }
    extensionBytes += header.size;
    if (extensionBytes > MOST_EXTENSION_BYTES) throw brokenTar(what, "an extended header in it has no end");
    const body = await whole(source, header.size + paddingBytes(header.size), "in an extended header", what);
    blocks.push(body);
    note(records, header.type, body.subarray(0, header.size), what);
  }
}

function note(records: Map<string, Buffer>, type: string, body: Buffer, what: string): void {
  const longName = LONG_NAMES[type];
  if (longName !== undefined) records.set(longName, body.subarray(0, endOfText(body)));
  // What is said of all that follows goes no further than that here: nobody writes such tars.
  else if (type === "g") throw brokenTar(what, "it has a global header, which Incus and Kopia never write");
  else for (const [key, value] of parseExtension(body, what)) records.set(key, value);
}

type Header = Omit<TarEntry, "content" | "path"> & { readonly name: string };

function entryOf(source: ByteSource, { name, ...header }: Header, what: string): Reading {
  const { type, records } = header;
  const path = records.get("path")?.toString("utf8") ?? name;
  if (![...FILES, ...WITHOUT_CONTENT].includes(type)) throw brokenTar(what, `${path} is of unknown type ${type}`);
  const long = records.get("size");
  const size = WITHOUT_CONTENT.includes(type) ? 0 : long === undefined ? header.size : Number(long.toString("latin1"));
  if (!Number.isSafeInteger(size)) throw brokenTar(what, `the size of ${path} makes no sense`);
  let left = size;

  async function* content(): AsyncGenerator<Buffer> {
    while (left > 0) {
      const part = await source.some(left);
      if (part === undefined) throw brokenTar(what, `it ends in the middle of ${path}, ${left} bytes before its end`);
      left -= part.length;
      yield part;
    }
  }
  const rest = content();
  const passRest = async () => {
    for await (const _ of content());
    await whole(source, paddingBytes(size), `after ${path}`, what);
  };
  return { entry: { ...header, path, size, content: rest }, passRest };
}

/** After the first empty block: the second one, and then zeros only. */
async function passEnd(source: ByteSource, what: string): Promise<void> {
  if (!isEmpty(await whole(source, BLOCK_BYTES, "before its end marker is whole", what))) {
    throw brokenTar(what, "it goes on after an empty block");
  }
  for (;;) {
    const more = await source.some(1024 * 1024);
    if (more === undefined) return;
    if (!isEmpty(more)) throw brokenTar(what, "it goes on after its end");
  }
}

async function whole(source: ByteSource, length: number, where: string, what: string): Promise<Buffer> {
  const bytes = await source.take(length);
  if (bytes.length < length) throw brokenTar(what, `it ends ${where}`);
  return bytes;
}

function isEmpty(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

function endOfText(body: Buffer): number {
  const end = body.indexOf(0);
  return end === -1 ? body.length : end;
}
