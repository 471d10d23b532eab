import { EventEmitter } from "node:events";
import type WebSocket from "ws";
import { z } from "zod";
import type { Clock } from "../model/ports.ts";
import { Operation } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { onAbort } from "./deadline.ts";

/** What a server tells of its operations by itself: a hint that comes early, and may not come at all. */
export type Events = {
  /** Whether a change would be heard of. */
  isLive(): boolean;
  /** An operation as last heard of. */
  latest(id: string): Operation | undefined;
  /** Ends with the next word of the operation, or when the socket comes or goes. */
  next(id: string, signal: AbortSignal): Promise<void>;
  close(): void;
};

const PATH = "/1.0/events?type=operation&all-projects=true";
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** An operation may be over before its id is known to us, so the latest of all are remembered. */
const MOST_REMEMBERED = 4096;

const Frame = z.object({ type: z.literal("operation"), metadata: Operation });

/** Listens to a server's operations over one websocket, and opens it again when it breaks. */
export function listen(connection: Connection, clock: Clock): Events {
  const closing = new AbortController();
  const remembered = new Map<string, Operation>();
  const news = new EventEmitter().setMaxListeners(0);
  let live = false;

  function onFrame(data: WebSocket.RawData): void {
    const operation = operationIn(data);
    if (operation === undefined) return;
    remembered.delete(operation.id);
    remembered.set(operation.id, operation);
    const [oldest] = remembered.keys();
    if (oldest !== undefined && remembered.size > MOST_REMEMBERED) remembered.delete(oldest);
    news.emit(operation.id);
  }

  function setLive(now: boolean): void {
    live = now;
    news.emit("socket");
  }

  async function hold(): Promise<void> {
    const websocket = await connection.openWebsocket(PATH, closing.signal);
    await new Promise<void>((resolve) => {
      websocket.on("message", onFrame);
      websocket.once("close", () => {
        letGo();
        resolve();
      });
      const letGo = onAbort(closing.signal, () => websocket.terminate());
      websocket.resume();
      setLive(true);
    });
    setLive(false);
  }

  async function keepOpen(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !closing.signal.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      // Without the socket all goes on, by asking: whatever hinders it shows where an answer is needed.
      await hold().then(
        () => {
          pauseMs = FIRST_PAUSE_MS;
        },
        () => {},
      );
      await clock.sleep(pauseMs, closing.signal).catch(() => {});
    }
  }
  void keepOpen();

  return {
    isLive: () => live,
    latest: (id) => remembered.get(id),
    next: (id, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const wake = () => {
          for (const name of [id, "socket"]) news.off(name, wake);
          letGo();
          resolve();
        };
        for (const name of [id, "socket"]) news.on(name, wake);
        const letGo = onAbort(signal, wake);
      }),
    close: () => closing.abort(),
  };
}

function operationIn(data: WebSocket.RawData): Operation | undefined {
  try {
    const read = Frame.safeParse(JSON.parse(String(data)));
    return read.success ? read.data.metadata : undefined;
  } catch {
    // A frame that is no event tells nothing; the operations themselves are asked in any case.
    return undefined;
  }
}
