import { Client } from "undici";
import type WebSocket from "ws";
import type { Clock } from "../model/ports.ts";
import { MINUTE_MS } from "../model/time.ts";
import { type Answer, badReply, readAnswer } from "./answer.ts";
import { DeadlineError, withDeadline } from "./deadline.ts";
import { exchange, OCTETS, type RawReply, type Request } from "./exchange.ts";
import { withRetries } from "./retry.ts";
import { type Download, type Moving, openDownload, upload } from "./stream.ts";
import { type Credentials, type Dial, pinnedDial } from "./tls.ts";
import { takeTurns } from "./turns.ts";
import { unanswered } from "./unreachable.ts";
import { upgrade } from "./websocket.ts";

/** One server, pinned, over a few connections that are kept. */
export type Connection = {
  /** The configuration's name of the server. */
  readonly host: string;
  /** Its base address, without a slash at the end. */
  readonly url: string;
  /** Answers, or throws why not, within the request's time. Repeats what is safe to repeat. */
  request(request: Request, signal: AbortSignal): Promise<Answer>;
  /** Reads a small file that the server holds, or throws why it cannot. */
  download(request: Request, signal: AbortSignal): Promise<Buffer>;
  /** Asks for a file of any size, on a pinned connection of its own that ends with it, read to its end or left. */
  openDownload(request: Request, signal: AbortSignal): Promise<Download>;
  /** Sends a file as a request's body, on a pinned connection of its own. It is sent once, whatever happens. */
  upload(request: Request, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Answer>;
  /**
   * A websocket on its own pinned connection. It is handed over paused, so that no frame is lost:
   * attach the listeners, then `resume()`.
   */
  openWebsocket(path: string, signal: AbortSignal): Promise<WebSocket>;
  /** How many TLS handshakes were completed so far. */
  handshakes(): Handshakes;
  close(): Promise<void>;
};

type Handshakes = { readonly http: number; readonly websocket: number };

/** What tests set lower than the world needs it. */
type Limits = {
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How long a server that says 503 is waited for. */
  readonly startupMs: number;
  readonly replyBytes: number;
  /** How long a server may neither send nor take a file's bytes. */
  readonly silentMs: number;
};

const LIMITS: Limits = {
  connections: 4,
  connectTimeoutMs: 10_000,
  requestTimeoutMs: 120_000,
  startupMs: 120_000,
  replyBytes: 256 * 1024 * 1024,
  silentMs: 10 * MINUTE_MS,
};

/** A server ends a connection that was idle for 30 s; one that is about to be ended must not be given a request. */
const KEEP_ALIVE_MS = 25_000;

export type ConnectionOptions = {
  readonly host: string;
  readonly url: string;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly limits?: Partial<Limits>;
};

/** Opens the way to a server. Nothing is sent before the first request. */
export function openConnection({ host, url, credentials, clock, limits: lower }: ConnectionOptions): Connection {
  const limits = { ...LIMITS, ...lower };
  const address = { host, url: new URL(url) };
  const dial = pinnedDial(address, credentials, limits.connectTimeoutMs);
  const closing = new AbortController();
  const count = { http: 0, websocket: 0 };
  const websockets = new Set<WebSocket>();
  const dialCounted = async () => {
    const socket = await dial(closing.signal);
    count.http += 1;
    return socket;
  };
  const clients = Array.from({ length: limits.connections }, () => pinnedClient(address.url.origin, dialCounted));
  const inTurn = takeTurns(clients);
  const movers = new Set<Client>();
  // Not one of those that take turns: as many files as that would leave none for what is asked meanwhile.
  const moving = (): Moving => {
    const client = pinnedClient(address.url.origin, dialCounted);
    movers.add(client);
    const onEnd = () => {
      movers.delete(client);
      void client.destroy();
    };
    return { client, address, replyBytes: limits.replyBytes, silentMs: limits.silentMs, onEnd };
  };

  function ask(request: Request, signal: AbortSignal): Promise<RawReply> {
    const timeoutMs = request.timeoutMs ?? limits.requestTimeoutMs;
    // A request's time begins when it can be sent: its turn is waited for outside the deadline.
    const send = (client: Client) => {
      const exchanged = (both: AbortSignal) => exchange(client, address, request, limits.replyBytes, both);
      return withDeadline(timeoutMs, signal, exchanged);
    };
    const options = { idempotent: request.method === "GET", startupMs: limits.startupMs, clock };
    return withRetries(options, signal, async () => {
      const reply = await inTurn(send, signal).catch((cause) => {
        throw cause instanceof DeadlineError ? unanswered(address, `${request.method} ${request.path}`, cause) : cause;
      });
      // A starting server turns away what it will take later, others stumble: that is for the retries to see.
      if (reply.status === 503 || reply.status === 500) answerIn(request, reply);
      return reply;
    });
  }

  function answerIn({ method, path }: Request, { bytes, ...reply }: RawReply): Answer {
    return readAnswer({ host, method, path }, { ...reply, text: bytes.toString("utf8") });
  }

  return {
    host,
    url: address.url.origin,
    async request(request, signal) {
      return answerIn(request, await ask(request, signal));
    },
    async download(request, signal) {
      const reply = await ask(request, signal);
      if (reply.status < 300 && reply.contentType === OCTETS) return reply.bytes;
      const { kind } = answerIn(request, reply);
      throw badReply({ host, ...request }, `an answer of type ${kind} where a file is due`);
    },
    openDownload(request, signal) {
      const options = { idempotent: request.method === "GET", startupMs: limits.startupMs, clock };
      return withRetries(options, signal, () => openDownload(moving(), request, signal));
    },
    upload: (request, body, signal) => upload(moving(), request, body, signal),
    async openWebsocket(path, signal) {
      const either = AbortSignal.any([signal, closing.signal]);
      const socket = await dial(either);
      count.websocket += 1;
      const websocket = await upgrade(address, path, socket, limits.connectTimeoutMs, either);
      websockets.add(websocket);
      websocket.once("close", () => websockets.delete(websocket));
      return websocket;
    },
    handshakes: () => ({ ...count }),
    async close() {
      closing.abort();
      for (const websocket of websockets) websocket.terminate();
      await Promise.all([...clients, ...movers].map((client) => client.destroy()));
    },
  };
}

/**
 * One connection, made when it is first needed and compared with the pin before undici sees it. As they take turns, none
 * is idle for long enough to be ended as long as anything is asked now and then.
 */
function pinnedClient(origin: string, dial: () => ReturnType<Dial>): Client {
  return new Client(origin, {
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: (_, done) => {
      dial().then(
        (socket) => done(null, socket),
        (error) => done(error, null),
      );
    },
  });
}
