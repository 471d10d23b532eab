/** Takes a stream apart into pieces of given lengths, without holding more of it than that. */
export class ByteSource {
  readonly #parts: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#parts = bytes[Symbol.asyncIterator]();
  }

  /** So many bytes; fewer only where the stream ends. */
  async take(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const part = await this.some(missing);
      if (part === undefined) break;
      parts.push(part);
      missing -= part.length;
    }
    const [only = Buffer.alloc(0)] = parts;
    return parts.length <= 1 ? only : Buffer.concat(parts);
  }

  /** The bytes that are there, at most so many; undefined at the end of the stream. */
  async some(most: number): Promise<Buffer | undefined> {
    while (this.#held.length === 0) {
      if (this.#isOver) return undefined;
      const next = await this.#parts.next();
      this.#isOver = next.done === true;
      if (!next.done) this.#held = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    const part = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(most);
    return part;
  }

  /** Tells the stream that nobody reads on. */
  async leave(): Promise<void> {
    if (!this.#isOver) await this.#parts.return?.();
  }
}
