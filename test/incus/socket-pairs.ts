import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";

/** Two ends of one websocket on loopback: the one that a server holds, and ours. */
export type SocketPair = { readonly remote: WebSocket; readonly ours: WebSocket };

/** A server on loopback that hands out connected websockets; `close()` ends them all. */
export async function openSocketServer(): Promise<{ connect(): Promise<SocketPair>; close(): void }> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, maxPayload: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    async connect() {
      const accepted = once(server, "connection");
      const ours = new WebSocket(`ws://127.0.0.1:${port}`, {
        perMessageDeflate: false,
        maxPayload: 0,
        generateMask: (mask) => mask.fill(0),
      });
      ours.once("open", () => ours.pause());
      const [[remote]] = await Promise.all([accepted, once(ours, "open")]);
      return { remote, ours };
    },
    close() {
      for (const client of server.clients) client.terminate();
      server.close();
    },
  };
}
