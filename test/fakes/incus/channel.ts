import type WebSocket from "ws";
import { Refusal } from "./reply.ts";

/** What a real daemon puts into one frame at most. */
const FRAME_BYTES = 32 * 1024;
const QUEUE_FRAMES = 64;

export type Frame = { readonly kind: "data"; readonly bytes: Buffer } | { readonly kind: "barrier" };

/** One of a migration's connections: binary frames are data, an empty text frame is the end of a part. */
export class Channel {
  /** Bytes that have come in. */
  received = 0;
  readonly #socket: WebSocket;
  readonly #queue: Frame[] = [];
  #waiting: (() => void) | undefined;
  #closed: string | undefined;
  /** Bytes that have gone both ways, and how many may. */
  #carried = 0;
  #limit = Number.POSITIVE_INFINITY;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer, isBinary) => {
      this.received += data.length;
      this.#carry(data.length);
      this.#queue.push(isBinary ? { kind: "data", bytes: data } : { kind: "barrier" });
      if (this.#queue.length > QUEUE_FRAMES) socket.pause();
      this.#wake();
    });
    socket.on("error", () => socket.terminate());
    socket.on("close", (code) => {
      this.#closed =
        code === 1000 ? "websocket: close 1000 (normal)" : "websocket: close 1006 (abnormal closure): unexpected EOF";
      this.#wake();
    });
  }

  /** The next frame; an error in the daemon's words once the connection is gone and all has been read. */
  async next(): Promise<Frame> {
    for (;;) {
      const frame = this.#queue.shift();
      if (this.#queue.length < QUEUE_FRAMES / 2) this.#socket.resume();
      if (frame !== undefined) return frame;
      if (this.#closed !== undefined) throw new Refusal(500, this.#closed);
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** One whole message, as `control` carries them. */
  async message(): Promise<Buffer> {
    const frame = await this.next();
    if (frame.kind === "barrier") throw new Refusal(500, "Only binary messages allowed");
    return frame.bytes;
  }

  /** All data up to the next barrier. */
  async part(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      const frame = await this.next();
      if (frame.kind === "barrier") return Buffer.concat(chunks);
      chunks.push(frame.bytes);
    }
  }

  /** Sends one binary frame, and returns when it has been written. */
  send(bytes: Uint8Array): Promise<void> {
    return this.#write(bytes, true);
  }

  /** Sends data in as many frames as it takes, and the barrier. */
  async sendPart(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += FRAME_BYTES) await this.send(bytes.subarray(at, at + FRAME_BYTES));
    await this.#write("", false);
  }

  /** Ends the connection in good order. */
  close(): void {
    this.#socket.close(1000);
  }

  /** Ends the connection without a word. */
  cut(): void {
    this.#socket.terminate();
  }

  /** Cuts the connection once so many bytes have gone both ways; what is returned calls that off. */
  cutAfter(bytes: number): () => void {
    this.#limit = bytes;
    this.#carry(0);
    return () => {
      this.#limit = Number.POSITIVE_INFINITY;
    };
  }

  #carry(bytes: number): void {
    this.#carried += bytes;
    if (this.#carried >= this.#limit) this.cut();
  }

  #write(data: Uint8Array | string, binary: boolean): Promise<void> {
    this.#carry(data.length);
    return new Promise((resolve, reject) => {
      this.#socket.send(data, { binary }, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(new Refusal(500, this.#closed ?? "write: broken pipe"));
      });
    });
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}
