import { AgentError } from "../model/errors.ts";

/** All of a tar is made of these. */
export const BLOCK_BYTES = 512;

/** What a header block says by itself; the blocks before it may say otherwise. */
export type TarHeader = {
  readonly name: string;
  /** One character; a plain file is `0`. */
  readonly type: string;
  readonly size: number;
  readonly linkName: string;
};

/** What is changed in a header block. */
export type HeaderChanges = {
  readonly name?: string;
  readonly size?: number;
  readonly mode?: number;
  readonly modifiedAtSeconds?: number;
};

const NAME = { at: 0, length: 100 };
const MODE = { at: 100, length: 8 };
const UID = { at: 108, length: 8 };
const GID = { at: 116, length: 8 };
const SIZE = { at: 124, length: 12 };
const MODIFIED = { at: 136, length: 12 };
const SUM = { at: 148, length: 8 };
const TYPE_AT = 156;
const LINK = { at: 157, length: 100 };
const MAGIC = { at: 257, length: 6 };
const MAJOR = { at: 329, length: 8 };
const MINOR = { at: 337, length: 8 };
const PREFIX = { at: 345, length: 155 };

type Field = { readonly at: number; readonly length: number };

/** Why a stream is no whole tar. */
export function brokenTar(what: string, why: string): AgentError {
  return new AgentError("incus.bad-reply", `Cannot read ${what}: ${why}`);
}

/** Reads a header block. One whose checksum is wrong is none. */
export function parseHeader(block: Buffer, what: string): TarHeader {
  if (parseOctal(text(block, SUM)) !== checksum(block)) throw brokenTar(what, "it is no tar, or damaged");
  const prefix = text(block, MAGIC) === "ustar" ? text(block, PREFIX) : "";
  const name = text(block, NAME);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type: block[TYPE_AT] === 0 ? "0" : String.fromCharCode(block[TYPE_AT] ?? 0),
    size: parseNumber(block.subarray(SIZE.at, SIZE.at + SIZE.length), what),
    linkName: text(block, LINK),
  };
}

/** Whose an entry is, where it points, and which device it is. */
export function ownersOf(block: Buffer, records: ReadonlyMap<string, Buffer>, what: string) {
  const number = ({ at, length }: Field) => parseNumber(block.subarray(at, at + length), what);
  const recorded = (key: string, field: Field) => Number(records.get(key)?.toString("latin1") ?? number(field));
  return {
    mode: number(MODE) & 0o7777,
    uid: recorded("uid", UID),
    gid: recorded("gid", GID),
    linkName: records.get("linkpath")?.toString("utf8") ?? text(block, LINK),
    device: `${number(MAJOR)}:${number(MINOR)}`,
  };
}

/** Go's own bits for what POSIX has as 4000, 2000 and 1000. */
const BITS_OF_GO = [
  [2 ** 23, 0o4000],
  [2 ** 22, 0o2000],
  [2 ** 20, 0o1000],
] as const;

/** The mode of an entry as POSIX has it: Kopia writes that of Go, whose other bits every reader of tars drops. */
export function posixMode(block: Buffer, what: string): number {
  const mode = parseNumber(block.subarray(MODE.at, MODE.at + MODE.length), what);
  return BITS_OF_GO.reduce((sum, [of, becomes]) => sum | ((mode & of) === 0 ? 0 : becomes), mode & 0o7777);
}

/** The same header with other values; what it does not hold has to stand in an extension before it. */
export function changedHeader(block: Buffer, { name, size, mode, modifiedAtSeconds }: HeaderChanges): Buffer {
  const changed = Buffer.from(block);
  if (name !== undefined) {
    changed.fill(0, PREFIX.at, PREFIX.at + PREFIX.length);
    changed.fill(0, NAME.at, NAME.at + NAME.length);
    changed.set(Buffer.from(name).subarray(0, NAME.length), NAME.at);
  }
  if (size !== undefined) writeNumber(changed, SIZE, size);
  if (mode !== undefined) writeNumber(changed, MODE, mode);
  if (modifiedAtSeconds !== undefined) writeNumber(changed, MODIFIED, modifiedAtSeconds);
  changed.write(`${checksum(changed).toString(8).padStart(6, "0")}\0 `, SUM.at, "latin1");
  return changed;
}

export type NewEntry = {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly size: number;
  /** Whose it is; root's if nothing is said. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** When it was last changed; 1970 if nothing is said. */
  readonly modifiedAtSeconds?: number;
};

/** The blocks that lead in an entry of ours. */
export function newHeader(entry: NewEntry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  writeNumber(block, MODE, entry.mode);
  writeNumber(block, UID, entry.uid ?? 0);
  writeNumber(block, GID, entry.gid ?? 0);
  block.write(entry.type, TYPE_AT, "latin1");
  block.write("ustar\x0000", MAGIC.at, "latin1");
  const { path, size, modifiedAtSeconds = 0 } = entry;
  return Buffer.concat([
    ...(fits(path) ? [] : [extension(new Map([["path", Buffer.from(path)]]))]),
    changedHeader(block, { name: path, size, modifiedAtSeconds }),
  ]);
}

/** Whether a name can stand in a header block itself, in a way that every reader takes alike. */
export function fits(name: string): boolean {
  return Buffer.byteLength(name) <= NAME.length && /^[\x20-\x7e]*$/.test(name);
}

/** Records that go before a header, in the form of POSIX. */
export function extension(records: ReadonlyMap<string, Buffer>): Buffer {
  const body = Buffer.concat([...records].map(([key, value]) => record(key, value)));
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write("0000644\0", 100, "latin1");
  block.write("0000000\0", 108, "latin1");
  block.write("0000000\0", 116, "latin1");
  block.write("x", TYPE_AT, "latin1");
  block.write("ustar\x0000", MAGIC.at, "latin1");
  const head = changedHeader(block, { name: "PaxHeaders.0/extension", size: body.length, modifiedAtSeconds: 0 });
  return Buffer.concat([head, body, padding(body.length)]);
}

/** Records as they stand before a header. */
export function parseExtension(body: Buffer, what: string): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const length = Number(body.toString("latin1", at, space));
    const equals = body.indexOf(0x3d, space);
    const end = at + length;
    const isSound = space > at && length > 0 && equals > space && equals < end && body[end - 1] === 0x0a;
    if (!isSound || end > body.length) throw brokenTar(what, "an extended header in it makes no sense");
    records.set(body.toString("utf8", space + 1, equals), body.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** What fills the last block of a content. */
export function padding(size: number): Buffer {
  return Buffer.alloc(paddingBytes(size));
}

export function paddingBytes(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

/** A record's length counts itself. */
function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** Of all bytes, with the sum's own as spaces. */
function checksum(block: Buffer): number {
  let sum = 0;
  for (let at = 0; at < BLOCK_BYTES; at += 1) {
    sum += at >= SUM.at && at < SUM.at + SUM.length ? 0x20 : (block[at] ?? 0);
  }
  return sum;
}

/** Octal digits, or for what is too large for them a number in base 256 after a first bit that is set. */
function parseNumber(field: Buffer, what: string): number {
  const first = field[0] ?? 0;
  const value =
    (first & 0x80) === 0
      ? parseOctal(field.toString("latin1").replace(/\0.*$/s, ""))
      : field.subarray(1).reduce((sum, byte) => sum * 256 + byte, first & 0x7f);
  if (!Number.isSafeInteger(value)) throw brokenTar(what, "a size in it makes no sense");
  return value;
}

function parseOctal(digits: string): number {
  const trimmed = digits.trim();
  return /^[0-7]*$/.test(trimmed) ? Number.parseInt(trimmed || "0", 8) : Number.NaN;
}

function writeNumber(block: Buffer, { at, length }: Field, value: number): void {
  if (value < 8 ** (length - 1)) {
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
    return;
  }
  block.fill(0, at, at + length);
  // Six bytes hold all that a number here can be, and the first bit says that it is not octal.
  block.writeUIntBE(value, at + length - 6, 6);
  block[at] = 0x80;
}

function text(block: Buffer, { at, length }: Field): string {
  return block.toString("utf8", at, at + length).replace(/\0.*$/s, "");
}
