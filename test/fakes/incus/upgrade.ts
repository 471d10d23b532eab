import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { subscriptionOf } from "./events.ts";
import type { FaultKind } from "./faults.ts";
import type { Host } from "./host.ts";
import { errorEnvelope, NOT_AUTHORIZED, Refusal, statusOf, textOf } from "./reply.ts";
import { type Caller, requireTrusted } from "./trust.ts";

const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 0 });

/** Answers an upgrade to a websocket: the events, or the data connections of an operation. */
export function upgrade(host: Host, caller: Caller, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const url = new URL(request.url ?? "/", "https://fake");
  const accept = (): Promise<WebSocket> =>
    new Promise((resolve) => server.handleUpgrade(request, socket, head, resolve));
  socket.on("error", () => socket.destroy());
  try {
    const fault = host.faults.take("GET", url.pathname);
    if (fault?.kind === "silence") return;
    if (fault?.kind === "cut-before" || fault?.kind === "cut-after") return void socket.destroy();
    refuseByFault(fault);
    route(host, caller, url, accept);
  } catch (error) {
    refuse(socket, statusOf(error), textOf(error));
  }
}

function refuseByFault(fault: FaultKind | undefined): void {
  if (fault?.kind === "starting") throw new Refusal(503, "Daemon is starting up");
  if (fault?.kind === "refuse") throw new Refusal(fault.status, fault.error);
}

function route(host: Host, caller: Caller, url: URL, accept: () => Promise<WebSocket>): void {
  if (url.pathname === "/1.0/events") {
    requireTrusted(caller);
    const wanted = subscriptionOf(url.searchParams, caller, host.state);
    void accept().then((socket) => host.events.subscribe(socket, wanted));
    return;
  }
  const [, id = ""] = /^\/1\.0\/operations\/([^/]+)\/websocket$/.exec(url.pathname) ?? [];
  if (id === "") throw new Refusal(404, "not found");
  // The secret is all the authority that a data connection needs.
  const { connect } = host.operations.get(id).spec;
  const secret = url.searchParams.get("secret") ?? "";
  if (connect === undefined) throw new Refusal(400, "Only websocket operations can be connected");
  if (!connect(secret, accept)) throw new Refusal(403, NOT_AUTHORIZED);
}

function refuse(socket: Duplex, status: number, message: string): void {
  if (socket.destroyed) return;
  const body = `${JSON.stringify(errorEnvelope(status, message))}\n`;
  const head = ["content-type: application/json", `content-length: ${Buffer.byteLength(body)}`, "connection: close"];
  socket.end(`HTTP/1.1 ${status} Refused\r\n${head.join("\r\n")}\r\n\r\n${body}`);
}
