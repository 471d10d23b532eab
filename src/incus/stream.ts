import type { Client, Dispatcher } from "undici";
import { MINUTE_MS } from "../model/time.ts";
import { type Answer, type Asked, readAnswer } from "./answer.ts";
import { DeadlineError, withDeadline } from "./deadline.ts";
import { bodyFailure, exchangeFailure, OCTETS, type RawReply, type Request, replyOf, send } from "./exchange.ts";
import type { Address } from "./tls.ts";
import { unanswered } from "./unreachable.ts";

/** What a server sends where a file was asked for: the file, or an answer as to any request. */
export type Download =
  | { readonly kind: "bytes"; readonly bytes: AsyncIterable<Uint8Array> }
  | { readonly kind: "answer"; readonly answer: Answer };

/** How one body is moved: over a connection of its own, which ends with it. */
export type Moving = {
  readonly client: Client;
  readonly address: Address;
  readonly replyBytes: number;
  /** How long the other side may not move. */
  readonly silentMs: number;
  /** Called once, when the body is through or given up. */
  readonly onEnd: () => void;
};

/** Asks for a file. Its bytes come as fast as they are taken; leaving them before their end ends the connection. */
export async function openDownload(moving: Moving, request: Request, signal: AbortSignal): Promise<Download> {
  const { client, address, silentMs } = moving;
  const asked = askedOf(address, request);
  let isHandedOver = false;
  const ending = new AbortController();
  try {
    const both = AbortSignal.any([signal, ending.signal]);
    const begin = () => send(client, address, request, both);
    const response = await withDeadline(request.timeoutMs ?? silentMs, signal, begin).catch((cause) => {
      throw inOurWords(address, asked, cause);
    });
    if (response.statusCode !== 200 || response.headers["content-type"] !== OCTETS) {
      const reading = () => replyOf(address, request, response, moving.replyBytes);
      return { kind: "answer", answer: answerIn(asked, await withDeadline(silentMs, signal, reading)) };
    }
    isHandedOver = true;
    return { kind: "bytes", bytes: bytesOf(moving, asked, response.body, signal, ending) };
  } finally {
    if (!isHandedOver) {
      ending.abort();
      moving.onEnd();
    }
  }
}

/** Sends a file as a request's body, as fast as the server takes it, and gives the answer. */
export async function upload(
  moving: Moving,
  request: Request,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Answer> {
  const { client, address, silentMs, replyBytes, onEnd } = moving;
  const asked = askedOf(address, request);
  const silent = new AbortController();
  const watch = stopwatch(silentMs, () => silent.abort(new DeadlineError(notMoved("took", silentMs))));
  const broken: { cause?: unknown } = {};
  const both = AbortSignal.any([signal, silent.signal]);
  try {
    const sent = { ...request, headers: { "content-type": OCTETS, ...request.headers } };
    watch.start();
    const response = await send(client, address, sent, both, paced(body, watch, broken)).catch((cause) => {
      // What the body itself threw is no failure of the server's.
      throw "cause" in broken ? broken.cause : inOurWords(address, asked, silent.signal.reason ?? cause);
    });
    return answerIn(asked, await replyOf(address, request, response, replyBytes));
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  } finally {
    watch.stop();
    onEnd();
  }
}

async function* bytesOf(
  { address, silentMs, onEnd }: Moving,
  asked: Asked,
  body: Dispatcher.ResponseData["body"],
  signal: AbortSignal,
  ending: AbortController,
): AsyncGenerator<Uint8Array> {
  const silent = new AbortController();
  // Runs only while we wait for the server: who takes the bytes may take his time.
  const watch = stopwatch(silentMs, () => silent.abort(new DeadlineError(notMoved("sent", silentMs))));
  silent.signal.addEventListener("abort", () => body.destroy(), { once: true });
  try {
    watch.start();
    for await (const chunk of body) {
      watch.stop();
      yield chunk as Buffer;
      watch.start();
    }
    if (silent.signal.aborted) throw silent.signal.reason;
  } catch (cause) {
    signal.throwIfAborted();
    if (silent.signal.aborted) throw inOurWords(address, asked, silent.signal.reason);
    throw bodyFailure(address, asked, cause);
  } finally {
    watch.stop();
    ending.abort();
    onEnd();
  }
}

/** The body, with the time running from each part that was handed over until the next one is asked for. */
async function* paced(
  body: AsyncIterable<Uint8Array>,
  watch: Stopwatch,
  broken: { cause?: unknown },
): AsyncGenerator<Uint8Array> {
  const parts = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      watch.stop();
      const next = await parts.next().catch((cause) => {
        broken.cause = cause;
        throw cause;
      });
      // After the end it runs on: the answer is due in the same time.
      watch.start();
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await parts.return?.();
  }
}

type Stopwatch = { start(): void; stop(): void };

function stopwatch(timeoutMs: number, onTime: () => void): Stopwatch {
  let timer: NodeJS.Timeout | undefined;
  const stop = () => clearTimeout(timer);
  return {
    start: () => {
      stop();
      timer = setTimeout(onTime, timeoutMs);
    },
    stop,
  };
}

function answerIn(asked: Asked, { bytes, ...reply }: RawReply): Answer {
  return readAnswer(asked, { ...reply, text: bytes.toString("utf8") });
}

function inOurWords(address: Address, asked: Asked, cause: unknown): unknown {
  if (cause instanceof DeadlineError) return unanswered(address, `${asked.method} ${asked.path}`, cause);
  return exchangeFailure(address, asked, cause);
}

function notMoved(verb: "sent" | "took", timeoutMs: number): string {
  return `it ${verb} nothing for ${Number((timeoutMs / MINUTE_MS).toFixed(2))} minutes`;
}

function askedOf({ host }: Address, { method, path }: Request): Asked {
  return { host, method, path };
}
