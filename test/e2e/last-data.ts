import type { IncusServer } from "../../src/incus/server.ts";
import type { Side } from "../../src/model/job.ts";

/** The ends of relays, and when the source has sent the last of its data. */
export type WatchedEnds = {
  /** Listens to what a server sends. */
  through(side: Side, server: IncusServer): IncusServer;
  /** How many ends of data the copies so far have had, by the empty text that each is followed by. */
  ended(): number;
  /** Called at so many ends of data from now on. */
  atEnd(count: number, call: () => void): void;
};

export function watchEnds(): WatchedEnds {
  let ended = 0;
  let awaited: { readonly at: number; readonly call: () => void } | undefined;
  const note = (data: Buffer, isBinary: boolean) => {
    if (isBinary || data.length > 0) return;
    ended += 1;
    if (awaited?.at === ended) awaited.call();
  };
  return {
    through(side, server) {
      if (side === "target") return server;
      const openWebsocket: IncusServer["connection"]["openWebsocket"] = async (path, signal) => {
        const socket = await server.connection.openWebsocket(path, signal);
        socket.on("message", note);
        return socket;
      };
      return { ...server, connection: { ...server.connection, openWebsocket } };
    },
    ended: () => ended,
    atEnd: (count, call) => {
      awaited = { at: ended + count, call };
    },
  };
}
