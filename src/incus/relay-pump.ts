import { type RawData, WebSocket } from "ws";

/** One message on a websocket. Incus gives text and binary different meanings, and an empty text one too. */
export type Frame = { readonly data: Buffer; readonly isBinary: boolean };

/** Looks at a message on its way and says what goes on in its place. To throw ends the whole transfer. */
export type Inspect = (frame: Frame) => readonly Frame[];

/** Told the size of every message; says for how many milliseconds no further one should be read. */
export type Meter = (bytes: number) => number;

/** Two sockets to connect, and what is to happen to the messages on either way. */
export type Pair = {
  readonly source: WebSocket;
  readonly target: WebSocket;
  readonly toTarget: Inspect;
  readonly toSource: Inspect;
  /** For what goes to the target, which is where the data flows. */
  readonly meter: Meter;
  /** Once it is aborted the source is cut off and nothing goes on to the target, which may still say how it ended. */
  readonly ending?: AbortSignal;
};

/** Reading stops when so much waits to be written, and goes on when half of it has left. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = HIGH_WATER_BYTES / 2;

/** A wait is cut into pieces, so that a rate that is lifted meanwhile is noticed. */
const LONGEST_WAIT_MS = 1000;

/** No close message was sent (1005), or not even the connection was closed in order (1006). */
const NO_STATUS = 1005;
const ABNORMAL = 1006;

/**
 * Passes messages both ways until both sockets are closed: each by itself, in its order and of its type. Memory stays
 * flat because a socket is not read while its twin is full. How a transfer ended is for the servers to say, so a close
 * of whatever kind is no error here; what is thrown is the signal's reason, or that of a message that was refused.
 */
export async function pump(pair: Pair, signal: AbortSignal): Promise<void> {
  const { source, target, ending } = pair;
  const refused = new AbortController();
  const either = AbortSignal.any([signal, refused.signal]);
  const cut = () => {
    source.terminate();
    target.terminate();
  };
  either.addEventListener("abort", cut, { once: true });
  const refuse = (reason: unknown) => refused.abort(reason);
  const bothClosed = Promise.all([closed(source), closed(target)]);
  const toTarget = new Way(source, target, pair.toTarget, pair.meter, refuse);
  const toSource = new Way(target, source, pair.toSource, () => 0, refuse);
  const hearOut = () => {
    toTarget.abandon();
    source.terminate();
    target.once("message", () => target.terminate());
  };
  if (either.aborted) cut();
  else if (ending?.aborted) hearOut();
  else ending?.addEventListener("abort", hearOut, { once: true });
  for (const way of [toTarget, toSource]) way.open();
  await bothClosed;
  either.removeEventListener("abort", cut);
  ending?.removeEventListener("abort", hearOut);
  either.throwIfAborted();
}

/** Passes every message on as it is. */
export const passOn: Inspect = (frame) => [frame];

/** One of the two ways between two sockets: the reader of one and the writer of the other. */
class Way {
  readonly #from: WebSocket;
  readonly #to: WebSocket;
  readonly #inspect: Inspect;
  readonly #meter: Meter;
  readonly #refuse: (reason: unknown) => void;
  #unsent = 0;
  #isAbandoned = false;
  #full = false;
  #waiting: NodeJS.Timeout | undefined;
  #onFlushed: (() => void) | undefined;

  constructor(from: WebSocket, to: WebSocket, inspect: Inspect, meter: Meter, refuse: (reason: unknown) => void) {
    this.#from = from;
    this.#to = to;
    this.#inspect = inspect;
    this.#meter = meter;
    this.#refuse = refuse;
  }

  open(): void {
    this.#from.on("message", (data: RawData, isBinary: boolean) => this.#pass(frameOf(data, isBinary)));
    // The close that follows an error is what counts, and the servers tell the reason.
    this.#from.on("error", () => {});
    this.#from.once("close", (code: number, reason: Buffer) => this.#end(code, reason));
    if (this.#from.readyState === WebSocket.CLOSED) this.#end(ABNORMAL, Buffer.alloc(0));
    this.#from.resume();
  }

  /** Nothing goes on any more, not even that the reader is closed. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  #pass(frame: Frame): void {
    // After a refusal, what had already been received must not go on.
    if (this.#isAbandoned || this.#to.readyState !== WebSocket.OPEN) return;
    try {
      for (const passed of this.#inspect(frame)) this.#send(passed);
    } catch (reason) {
      this.#refuse(reason);
      return;
    }
    this.#wait(this.#meter(frame.data.length));
  }

  #send(frame: Frame): void {
    this.#unsent += 1;
    this.#to.send(frame.data, { binary: frame.isBinary, compress: false }, () => this.#sent());
    if (this.#to.bufferedAmount < HIGH_WATER_BYTES) return;
    this.#full = true;
    this.#from.pause();
  }

  #sent(): void {
    this.#unsent -= 1;
    if (this.#unsent === 0) this.#onFlushed?.();
    if (!this.#full || this.#to.bufferedAmount > LOW_WATER_BYTES) return;
    this.#full = false;
    this.#resume();
  }

  #wait(durationMs: number): void {
    if (durationMs === 0 || this.#waiting !== undefined) return;
    this.#from.pause();
    this.#waiting = setTimeout(
      () => {
        this.#waiting = undefined;
        this.#wait(this.#meter(0));
        this.#resume();
      },
      Math.min(durationMs, LONGEST_WAIT_MS),
    );
  }

  #resume(): void {
    if (!this.#full && this.#waiting === undefined) this.#from.resume();
  }

  /** Closes the writer as the reader was closed, but not before all that was read has been written. */
  #end(code: number, reason: Buffer): void {
    clearTimeout(this.#waiting);
    // A paused socket would never see the answer to its close message.
    this.#to.resume();
    if (this.#isAbandoned) return;
    if (code !== ABNORMAL) {
      this.#to.close(code === NO_STATUS ? undefined : code, reason);
      return;
    }
    this.#onFlushed = () => this.#to.terminate();
    if (this.#unsent === 0) this.#onFlushed();
  }
}

function closed(socket: WebSocket): Promise<void> {
  if (socket.readyState === WebSocket.CLOSED) return Promise.resolve();
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** A message as `ws` hands it over. */
export function frameOf(data: RawData, isBinary: boolean): Frame {
  return { data: bufferOf(data), isBinary };
}

function bufferOf(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
