import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import WebSocket from "ws";
import { AgentError } from "../model/errors.ts";
import { type Asked, badReply, readAnswer } from "./answer.ts";
import { withDeadline } from "./deadline.ts";
import type { Address } from "./tls.ts";
import { unanswered } from "./unreachable.ts";

const MOST_REFUSAL_BYTES = 64 * 1024;

/** A websocket over a connection that is already pinned. It is paused, until its owner listens and resumes it. */
export async function upgrade(
  address: Address,
  path: string,
  socket: TLSSocket,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<WebSocket> {
  const [bare = path] = path.split("?");
  const asked = { host: address.host, method: "GET", path: bare };
  const websocket = new WebSocket(`wss://${address.url.host}${path}`, {
    createConnection: () => socket,
    perMessageDeflate: false,
    // No limit: in a relay the frames are between the servers.
    maxPayload: 0,
    // Masking hides patterns from proxies that read along, which TLS leaves none of. A key of zeros costs no work.
    generateMask: (mask) => mask.fill(0),
  });
  // An error is always followed by `close`, which is where owners look; without a listener it would be thrown.
  websocket.on("error", () => {});
  try {
    await withDeadline(timeoutMs, signal, (both) => opened(asked, websocket, both));
    return websocket;
  } catch (cause) {
    websocket.terminate();
    socket.destroy();
    signal.throwIfAborted();
    throw cause instanceof AgentError ? cause : unanswered(address, `open ${bare}`, cause);
  }
}

function opened(asked: Asked, websocket: WebSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    websocket.once("open", () => {
      // Here and not later: frames that came with the answer are emitted before a promise goes on.
      websocket.pause();
      resolve();
    });
    websocket.once("error", reject);
    websocket.once("unexpected-response", (_, response) => {
      refused(asked, response, signal).then(reject, reject);
    });
  });
}

/** Why the server would not open it: its error, as in an ordinary reply. */
async function refused(asked: Asked, response: IncomingMessage, signal: AbortSignal): Promise<Error> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    signal.throwIfAborted();
    text += chunk;
    if (text.length > MOST_REFUSAL_BYTES) break;
  }
  const status = response.statusCode ?? 0;
  const contentType = response.headers["content-type"] ?? "";
  readAnswer(asked, { status, contentType, etag: undefined, location: undefined, text });
  return badReply(asked, `HTTP ${status} where a websocket is due`);
}
