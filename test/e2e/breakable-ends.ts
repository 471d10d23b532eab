import type WebSocket from "ws";
import { CHANNELS } from "../../src/incus/copy-requests.ts";
import type { IncusServer } from "../../src/incus/server.ts";
import type { Side } from "../../src/model/job.ts";

export type ChannelName = (typeof CHANNELS)[number];

/** The ends of relays whose websockets can break one by one. */
export type BreakableEnds = {
  /** Puts itself between the agent and a server. */
  through(side: Side, server: IncusServer): IncusServer;
  /** Of the next copy, breaks this channel on this side once the servers have said so many bytes on all of them. */
  breakAfter(side: Side, channel: ChannelName, bytes: number): void;
  /** Calls the break off; says whether it has taken place. */
  heal(): boolean;
};

export function openBreakableEnds(): BreakableEnds {
  let opened: Record<Side, WebSocket[]> = { source: [], target: [] };
  let armed: { side: Side; channel: ChannelName; left: number } | undefined;
  const pass = (bytes: number) => {
    if (armed === undefined) return;
    armed.left -= bytes;
    // A relay opens control first on each side, and passes nothing on before all are open.
    if (armed.left <= 0) opened[armed.side][CHANNELS.indexOf(armed.channel)]?.terminate();
  };
  return {
    through(side, server) {
      const openWebsocket: IncusServer["connection"]["openWebsocket"] = async (path, signal) => {
        const socket = await server.connection.openWebsocket(path, signal);
        opened[side].push(socket);
        socket.on("message", (data: Buffer) => pass(data.length));
        return socket;
      };
      return { ...server, connection: { ...server.connection, openWebsocket } };
    },
    breakAfter(side, channel, bytes) {
      opened = { source: [], target: [] };
      armed = { side, channel, left: bytes };
    },
    heal() {
      const struck = armed !== undefined && armed.left <= 0;
      armed = undefined;
      return struck;
    },
  };
}
