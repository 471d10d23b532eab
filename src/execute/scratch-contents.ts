import type { Contents } from "../model/contents.ts";
import type { ContentType } from "../model/state.ts";

const KIB = 1024;
/** As large as the plan has the volume made. */
const IMAGE_BYTES = 1024 * KIB;
const PART_BYTES = 48 * KIB;

/** What a scratch volume holds at three moments: some of it stays, some changes, some comes and goes. */
export function scratchContents(contentType: ContentType): readonly [Contents, Contents, Contents] {
  return contentType === "filesystem" ? [tree(1), tree(2), tree(3)] : [image(1), image(2), image(3)];
}

function tree(moment: number): Contents {
  return new Map([
    ["same", bytesOf(1)],
    ["empty", new Uint8Array()],
    ["changed", bytesOf(100 + moment)],
    ["folder/deeper/changed", bytesOf(200 + moment)],
    [`folder/only-${moment}`, bytesOf(300 + moment)],
  ]);
}

function image(moment: number): Contents {
  const bytes = new Uint8Array(IMAGE_BYTES);
  bytes.set(bytesOf(1), 0);
  bytes.set(bytesOf(100 + moment), 4 * PART_BYTES);
  bytes.set(bytesOf(300 + moment), (6 + 2 * moment) * PART_BYTES);
  return new Map([["", bytes]]);
}

/** Bytes that depend on nothing but the seed, and that nothing can make smaller (xorshift32). */
function bytesOf(seed: number): Uint8Array {
  const words = new Uint32Array(PART_BYTES / 4);
  let state = seed * 0x9e3779b1;
  for (const [at] of words.entries()) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer);
}

/** How what was found differs from what should be there, in words; nothing where it does not. */
export function differences(expected: Contents, found: Contents): string[] {
  const extra = [...found.keys()].filter((path) => !expected.has(path));
  return [
    ...[...expected].flatMap(([path, bytes]) => {
      const there = found.get(path);
      if (there === undefined) return [`${nameOf(path)} is missing`];
      return isSame(path, bytes, there) ? [] : [`${nameOf(path)} has another content`];
    }),
    ...extra.map((path) => `${nameOf(path)} should not be there`),
  ];
}

function nameOf(path: string): string {
  return path === "" ? "its image" : path;
}

/** A pool may round the size of an image up: what is beyond the end is empty. */
function isSame(path: string, bytes: Uint8Array, there: Uint8Array): boolean {
  const beyond = there.subarray(bytes.length);
  if (path !== "" && beyond.length > 0) return false;
  return Buffer.compare(bytes, there.subarray(0, bytes.length)) === 0 && beyond.every((byte) => byte === 0);
}
