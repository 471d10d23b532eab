import { posixMode } from "./header.ts";
import { editTar } from "./write.ts";

/** A tar of Kopia's with the modes that every reader of tars understands. */
export function posixTar(bytes: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Buffer> {
  return editTar(bytes, what, ({ path, block }) => ({ path, mode: posixMode(block, what) }));
}
