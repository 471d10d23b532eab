import { Readable } from "node:stream";
import { type Client, type Dispatcher, errors } from "undici";
import { AgentError } from "../model/errors.ts";
import { type Asked, badReply, type Reply } from "./answer.ts";
import type { Address } from "./tls.ts";
import { errorCode, isTransient, LostRequest, unanswered } from "./unreachable.ts";

/** What is not JSON: a backup, in either direction. */
export const OCTETS = "application/octet-stream";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export type Request = {
  readonly method: Method;
  /** Below the server's address, percent-encoded, without the query. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** In place of a body of JSON. */
  readonly bytes?: Uint8Array;
  /** Do it only if the object is still the one that came with this tag. */
  readonly etag?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The whole answer has to be there within this time. */
  readonly timeoutMs?: number;
};

type Response = Dispatcher.ResponseData;

/** A reply whose body is of any kind. */
export type RawReply = Omit<Reply, "text"> & { readonly bytes: Buffer };

/** One request and its reply, whatever it says. The signal carries the deadline. */
export async function exchange(
  client: Client,
  address: Address,
  request: Request,
  mostBytes: number,
  signal: AbortSignal,
): Promise<RawReply> {
  const response = await send(client, address, request, signal);
  return replyOf(address, request, response, mostBytes);
}

/** Sends a request, with a stream for a body where there is one, and gives the answer as it begins. */
export async function send(
  client: Client,
  address: Address,
  request: Request,
  signal: AbortSignal,
  stream?: AsyncIterable<Uint8Array>,
): Promise<Response> {
  const wire = wireRequest(request, signal);
  // undici takes whatever can be iterated; its types know of less.
  const body = stream === undefined ? wire.body : Readable.from(stream, { objectMode: false, highWaterMark: 1 });
  return client.request({ ...wire, body }).catch((cause) => {
    throw exchangeFailure(address, { host: address.host, ...request }, cause);
  });
}

/** The whole of an answer that has begun. */
export async function replyOf(
  address: Address,
  { method, path }: Request,
  response: Response,
  mostBytes: number,
): Promise<RawReply> {
  const asked = { host: address.host, method, path };
  const bytes = await bodyOf(asked, response, mostBytes).catch((cause) => {
    throw bodyFailure(address, asked, cause);
  });
  return {
    status: response.statusCode,
    contentType: header(response, "content-type") ?? "",
    etag: header(response, "etag"),
    location: header(response, "location"),
    date: header(response, "date"),
    bytes,
  };
}

function wireRequest(request: Request, signal: AbortSignal) {
  const query = Object.entries(request.query ?? {}).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return {
    method: request.method,
    path: query.length === 0 ? request.path : `${request.path}?${new URLSearchParams(query)}`,
    headers: {
      ...(request.body === undefined ? {} : { "content-type": "application/json" }),
      ...(request.bytes === undefined ? {} : { "content-type": OCTETS }),
      ...(request.etag === undefined ? {} : { "if-match": request.etag }),
      ...request.headers,
    },
    body: request.bytes ?? (request.body === undefined ? null : JSON.stringify(request.body)),
    signal,
    // The signal's deadline is over all of it, so that undici needs no clock of its own.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
}

async function bodyOf(asked: Asked, response: Response, mostBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    size += chunk.length;
    // Leaving the loop destroys the body, and the connection with it.
    if (size > mostBytes) throw badReply(asked, `more than ${mostBytes} bytes`);
  }
  return Buffer.concat(chunks);
}

function header(response: Response, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** Why a request got no answer, in our words. */
export function exchangeFailure(address: Address, asked: Asked, cause: unknown): unknown {
  // From the dial: already in our words.
  if (cause instanceof AgentError) return cause;
  if (isNotHttp(cause)) return badReply(asked, "it is not HTTP", cause);
  return unanswered(address, `${asked.method} ${asked.path}`, cause);
}

/** Why an answer that had begun did not come to its end. */
export function bodyFailure(address: Address, asked: Asked, cause: unknown): unknown {
  if (!isTransient(cause)) return exchangeFailure(address, asked, cause);
  const message = `Cannot read what ${asked.host} answered to ${asked.method} ${asked.path}: the body breaks off`;
  return new LostRequest("incus.bad-reply", true, message, { cause });
}

/** Not a broken line, but something that undici's parser could not make sense of. */
function isNotHttp(cause: unknown): boolean {
  return cause instanceof errors.HTTPParserError || /^UND_ERR_(RES_|HEADERS_OVERFLOW)/.test(errorCode(cause));
}
