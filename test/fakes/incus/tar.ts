const BLOCK = 512;

export type TarEntry = { readonly name: string; readonly bytes: Buffer };

/** A tar of plain files, with the two empty blocks at its end by which a reader knows that it is whole. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const parts = entries.flatMap(({ name, bytes }) => [header(name, bytes.length), bytes, padding(bytes.length)]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** Whether it is a tar of at least one file. */
export function isTar(bytes: Buffer): boolean {
  return bytes.length >= 2 * BLOCK && bytes.length % BLOCK === 0 && text(bytes, 257, 5) === "ustar";
}

/** The files of a tar; undefined where it ends before its end. */
export function untar(tar: Buffer): TarEntry[] | undefined {
  const { entries, isWhole } = entriesOf(tar);
  return isWhole ? entries : undefined;
}

/** The files of a tar, as far as they are whole, and whether that is all of it. */
export function entriesOf(tar: Buffer): { readonly entries: TarEntry[]; readonly isWhole: boolean } {
  const entries: TarEntry[] = [];
  let at = 0;
  while (at + BLOCK <= tar.length) {
    const head = tar.subarray(at, at + BLOCK);
    if (head.every((byte) => byte === 0)) return { entries, isWhole: true };
    const size = Number.parseInt(text(head, 124, 12), 8);
    const start = at + BLOCK;
    if (!Number.isInteger(size) || start + size > tar.length) break;
    entries.push({ name: text(head, 0, 100), bytes: tar.subarray(start, start + size) });
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return { entries, isWhole: false };
}

function header(name: string, size: number): Buffer {
  const head = Buffer.alloc(BLOCK);
  head.write(name, 0, 100);
  head.write("0000600\0", 100);
  head.write("0000000\0", 108);
  head.write("0000000\0", 116);
  head.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  head.write("00000000000\0", 136);
  head.write("        0", 148);
  head.write("ustar\x0000", 257);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return head;
}

function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

function text(block: Buffer, at: number, length: number): string {
  return block.toString("utf8", at, at + length).replace(/\0.*$/s, "");
}
