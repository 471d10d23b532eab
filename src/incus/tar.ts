import { AgentError } from "../model/errors.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";

/** A file of a tar, or a folder; its content is empty then. */
export type TarEntry = { readonly path: string; readonly isFolder: boolean; readonly bytes: Uint8Array };

/** An entry to write, and when its content was last changed. */
export type NewTarEntry = TarEntry & { readonly changedAt: EpochMs };

const BLOCK = 512;
/** Where a header has what, of the fields that are used. */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  owner: [108, 8],
  group: [116, 8],
  size: [124, 12],
  changedAt: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 8],
  prefix: [345, 155],
} as const;
const TYPE = { file: "0", folder: "5", pax: "x" } as const;
const MODE = { file: "0000640", folder: "0000750" } as const;

/** A tar of files and folders. Their paths have at most 100 bytes. */
export function tarOf(entries: readonly NewTarEntry[]): Buffer {
  const parts = entries.flatMap((entry) => [headerOf(entry), entry.bytes, padding(entry.bytes.length)]);
  // By two empty blocks at its end a reader knows that a tar is whole.
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** The files and folders of a tar; links and the like are left out. A tar that breaks off is an error. */
export function untar(tar: Buffer): readonly TarEntry[] {
  const entries: TarEntry[] = [];
  let longPath: string | undefined;
  for (const { type, path, bytes } of membersOf(tar)) {
    if (type === TYPE.pax) {
      longPath = paxPath(bytes);
      continue;
    }
    const full = (longPath ?? path).replace(/\/+$/, "");
    longPath = undefined;
    if (type === TYPE.folder) entries.push({ path: full, isFolder: true, bytes });
    if (type === TYPE.file || type === "") entries.push({ path: full, isFolder: false, bytes });
  }
  return entries;
}

type Member = { readonly type: string; readonly path: string; readonly bytes: Buffer };

function* membersOf(tar: Buffer): Generator<Member> {
  for (let at = 0; ; ) {
    const header = tar.subarray(at, at + BLOCK);
    if (header.length < BLOCK) throw broken("it breaks off");
    if (header.every((byte) => byte === 0)) return;
    const start = at + BLOCK;
    const end = start + sizeIn(header);
    if (end > tar.length) throw broken("it breaks off");
    at = end + padding(end - start).length;
    yield { type: textIn(header, FIELD.type), path: pathIn(header), bytes: tar.subarray(start, end) };
  }
}

function headerOf({ path, isFolder, bytes, changedAt }: NewTarEntry): Buffer {
  const header = Buffer.alloc(BLOCK);
  const name = isFolder ? `${path}/` : path;
  if (Buffer.byteLength(name) > FIELD.name[1]) throw new RangeError(`A path is too long for a tar: ${name}`);
  const write = (text: string, [at]: readonly [number, number]) => header.write(text, at);
  write(name, FIELD.name);
  write(isFolder ? MODE.folder : MODE.file, FIELD.mode);
  write("0000000", FIELD.owner);
  write("0000000", FIELD.group);
  write(octal(bytes.length), FIELD.size);
  write(octal(Math.floor(changedAt / SECOND_MS)), FIELD.changedAt);
  // The sum is taken as if its own place were blank.
  write(" ".repeat(FIELD.checksum[1]), FIELD.checksum);
  write(isFolder ? TYPE.folder : TYPE.file, FIELD.type);
  write("ustar\x0000", FIELD.magic);
  const sum = header.reduce((total, byte) => total + byte, 0);
  write(`${sum.toString(8).padStart(6, "0")}\0 `, FIELD.checksum);
  return header;
}

function octal(value: number): string {
  return value.toString(8).padStart(11, "0");
}

function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

function sizeIn(header: Buffer): number {
  const size = Number.parseInt(textIn(header, FIELD.size).trim(), 8);
  if (!Number.isSafeInteger(size)) throw broken("the size of a file cannot be read");
  return size;
}

function pathIn(header: Buffer): string {
  const [prefix, name] = [textIn(header, FIELD.prefix), textIn(header, FIELD.name)];
  return prefix === "" ? name : `${prefix}/${name}`;
}

function textIn(header: Buffer, [at, length]: readonly [number, number]): string {
  return header.toString("utf8", at, at + length).replace(/\0.*$/s, "");
}

/** Records are `<length> <key>=<value>\n`; the length counts the whole record, itself too. */
function paxPath(bytes: Buffer): string | undefined {
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(0x20, at);
    const length = Number.parseInt(bytes.toString("utf8", at, blank), 10);
    if (blank < 0 || !(length > 0)) throw broken("its extended headers cannot be read");
    const record = bytes.toString("utf8", blank + 1, at + length - 1);
    if (record.startsWith("path=")) return record.slice("path=".length);
    at += length;
  }
  return undefined;
}

function broken(why: string): AgentError {
  return new AgentError("incus.bad-reply", `Cannot read the backup that the server made: ${why}`);
}
