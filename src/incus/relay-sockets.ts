import type WebSocket from "ws";
import type { Copy } from "../model/copy.ts";
import type { Clock } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import type { Operation } from "./answer.ts";
import { abandon, type End, type Ends, type Running, secretsOf, start, untilEnded } from "./copy-ends.ts";
import { type CHANNELS, type MigrationRequest, type Secrets, sinkRequest, sourceRequest } from "./copy-requests.ts";

type Channel = (typeof CHANNELS)[number];
export type Sockets = Readonly<Record<Channel, { readonly source: WebSocket; readonly target: WebSocket }>>;

/** Both ends of a copy whose data pass through the agent: they have begun, and wait for each other. */
export type Opened = { readonly running: Running; readonly sockets: Sockets };

/** How long the end of an operation is waited for whose other side could not be begun. */
const CLOSING_MS = 35 * SECOND_MS;

/** One server's operation, how to get at its websockets, and those that are there. */
type Party = {
  readonly end: End;
  readonly operation: Operation;
  readonly secrets: Secrets;
  readonly sockets: WebSocket[];
};

/** Both operations and all their websockets. What was begun is ended if the rest cannot be. */
export async function openRelay(ends: Ends, copy: Copy, clock: Clock, signal: AbortSignal): Promise<Opened> {
  const parties: Party[] = [];
  let isOpen = false;
  try {
    const begin = async (end: End, request: MigrationRequest) => {
      const operation = await start(end, request, clock, signal);
      const party: Party = { end, operation, secrets: secretsOf(end, operation, request), sockets: [] };
      parties.push(party);
      return party;
    };
    const source = await begin(ends.source, sourceRequest(copy, undefined));
    const target = await begin(ends.target, sinkRequest(copy, undefined));
    // Each server waits for its control connection first, and Incus 7.0 only 30 s for what the other says on it.
    const control = await connect({ source, target }, "control", signal);
    const fs = await connect({ source, target }, "fs", signal);
    isOpen = true;
    return { running: { source: source.operation, target: target.operation }, sockets: { control, fs } };
  } finally {
    if (!isOpen) await Promise.all(parties.map((party) => close(party, clock)));
  }
}

type Parties = { readonly source: Party; readonly target: Party };

async function connect({ source, target }: Parties, channel: Channel, signal: AbortSignal): Promise<Sockets[Channel]> {
  const dial = async ({ end, operation, secrets, sockets }: Party) => {
    const path = `/1.0/operations/${operation.id}/websocket?secret=${encodeURIComponent(secrets[channel])}`;
    const socket = await end.connection.openWebsocket(path, signal);
    sockets.push(socket);
    return socket;
  };
  // Both are waited for, so that none is opened behind the back of who closes them all.
  const [atSource, atTarget] = await Promise.allSettled([dial(source), dial(target)]);
  if (atSource.status === "rejected") throw atSource.reason;
  if (atTarget.status === "rejected") throw atTarget.reason;
  return { source: atSource.value, target: atTarget.value };
}

/** An operation that has lost its connections is not cancelled as well: that might hit it as it ends. */
async function close({ end, operation, sockets }: Party, clock: Clock): Promise<void> {
  if (sockets.length === 0) return abandon(end, operation);
  for (const socket of sockets) socket.terminate();
  await untilEnded(end, operation, clock, AbortSignal.timeout(CLOSING_MS));
}
