import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Server as NetServer } from "node:net";
import type { TLSSocket } from "node:tls";
import { onTestFinished } from "vitest";
import { WebSocketServer } from "ws";
import { type Connection, type ConnectionOptions, openConnection } from "../../src/incus/connection.ts";
import type { Credentials } from "../../src/incus/tls.ts";
import type { Clock } from "../../src/model/ports.ts";
import { Secret } from "../../src/model/secret.ts";
import { makeCertificate, type TestCertificate } from "./certificates.ts";

export type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly query: URLSearchParams;
};

/** How a connection came about, and the fingerprint of the client's certificate. */
type TlsSession = {
  readonly client: string | undefined;
  readonly protocol: string | null;
  readonly resumed: boolean;
};

export type LocalServer = {
  readonly url: string;
  readonly certificate: TestCertificate;
  /** `GET /1.0` and so on, in the order they came. */
  readonly requests: readonly string[];
  /** Every connection that completed its handshake. */
  readonly sockets: ReadonlySet<TLSSocket>;
  readonly websockets: WebSocketServer;
  readonly sessions: readonly TlsSession[];
  /** Answers every later upgrade with this in place of a websocket. */
  refuseUpgrades(status: number, body: string): void;
  /** From the next connection on. */
  setCertificate(certificate: TestCertificate): void;
};

export const serverCertificate = makeCertificate();
export const clientCertificate = makeCertificate({ name: "iab" });

/** An https server on loopback that lives as long as the test. */
export async function serve(
  handler: (exchange: Exchange) => void,
  certificate: TestCertificate = serverCertificate,
): Promise<LocalServer> {
  const requests: string[] = [];
  const sockets = new Set<TLSSocket>();
  const sessions: TlsSession[] = [];
  const server = createServer(
    { cert: certificate.certificate, key: certificate.key, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const url = new URL(request.url ?? "/", "https://local");
      requests.push(`${request.method} ${url.pathname}${url.search}`);
      handler({ request, response, path: url.pathname, query: url.searchParams });
    },
  );
  const websockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  let refusal: string | undefined;
  server.on("upgrade", (request, socket, head) => {
    requests.push(`UPGRADE ${request.url}`);
    if (refusal !== undefined) socket.end(refusal);
    else
      websockets.handleUpgrade(request, socket, head, (websocket) => websockets.emit("connection", websocket, request));
  });
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    const [client, protocol] = [fingerprintOfPeer(socket), socket.getProtocol()];
    sessions.push({ client, protocol, resumed: socket.isSessionReused() });
    socket.on("error", () => {});
  });
  const port = await listening(server);
  onTestFinished(() => {
    for (const websocket of websockets.clients) websocket.terminate();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: `https://127.0.0.1:${port}`,
    certificate,
    requests,
    sockets,
    websockets,
    sessions,
    refuseUpgrades: (status, body) => {
      refusal = `HTTP/1.1 ${status} No\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    },
    setCertificate: ({ certificate: cert, key }) => server.setSecureContext({ cert, key }),
  };
}

/** Of the client's certificate; undefined where it showed none. */
export function fingerprintOfPeer(socket: TLSSocket): string | undefined {
  return socket.getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase();
}

/** The port of a server that listens from now on. */
export function listening(server: NetServer): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

/** What a client shows, and what it has to be shown. */
export function credentialsOf(client: TestCertificate, pin: string): Credentials {
  return { certificate: client.certificate, key: new Secret(client.key), pin };
}

/** A connection that lives as long as the test. */
export function connectTo(
  server: Pick<LocalServer, "url" | "certificate">,
  options: Partial<ConnectionOptions> = {},
): Connection {
  const { url, certificate } = server;
  const connection = openConnection({
    host: "prod",
    url,
    credentials: credentialsOf(clientCertificate, certificate.certificate),
    clock: quickClock(),
    ...options,
  });
  onTestFinished(() => connection.close());
  return connection;
}

/** A clock that never lets anyone wait: who sleeps wakes at once, and that much later. */
export function quickClock(): Clock & { readonly slept: readonly number[] } {
  let now = Date.UTC(2026, 0, 1);
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    sleep: async (durationMs, signal) => {
      signal.throwIfAborted();
      slept.push(durationMs);
      await new Promise((resolve) => setImmediate(resolve));
      now += durationMs;
      signal.throwIfAborted();
    },
  };
}

/** A clock that stands still: who sleeps wakes only by being aborted. */
export function stillClock(): Clock {
  return {
    now: () => Date.UTC(2026, 0, 1),
    sleep: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  };
}

/** Answers as Incus does where all is well. */
export function sync(response: ServerResponse, metadata: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "content-type": "application/json", ...headers });
  response.end(
    JSON.stringify({
      type: "sync",
      status: "Success",
      status_code: 200,
      operation: "",
      error_code: 0,
      error: "",
      metadata,
    }),
  );
}

/** Answers as Incus does where it refuses. */
export function refuse(response: ServerResponse, status: number, error: string, httpStatus = status): void {
  response.writeHead(httpStatus, { "content-type": "application/json" });
  response.end(errorBody(status, error));
}

export function errorBody(status: number, error: string): string {
  return JSON.stringify({
    type: "error",
    status: "",
    status_code: 0,
    operation: "",
    error_code: status,
    error,
    metadata: null,
  });
}
