import type WebSocket from "ws";
import type { Copied, Copy, Progress } from "../model/copy.ts";
import type { Clock } from "../model/ports.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";
import type { Operation } from "./answer.ts";
import { abandon, awaitBoth, type End, type Ends, type Running, secretsOf, start, untilEnded } from "./copy-ends.ts";
import { throwUnlessDone } from "./copy-outcome.ts";
import { CHANNELS, type MigrationRequest, type Secrets, sinkRequest, sourceRequest } from "./copy-requests.ts";
import { watchHistory } from "./history.ts";
import { heldHistory } from "./history-held.ts";
import { losesLastWord } from "./last-word.ts";
import { type Inspect, type Meter, pump } from "./relay-pump.ts";
import type { Throttle } from "./throttle.ts";
import { type SizeWatch, watchSize } from "./watch-size.ts";

export type RelayOptions = {
  readonly clock: Clock;
  readonly onProgress: (progress: Progress) => void;
  readonly throttles: readonly Throttle[];
};

type Channel = (typeof CHANNELS)[number];
type Sockets = Readonly<Record<Channel, { readonly source: WebSocket; readonly target: WebSocket }>>;

const TELL_EVERY_MS = SECOND_MS / 2;

/** How long the end of an operation is waited for whose other side could not be begun. */
const CLOSING_MS = 35 * SECOND_MS;

/** The agent stands between the servers, which need not reach each other, and passes on what each says to the other. */
export async function relay(ends: Ends, copy: Copy, options: RelayOptions, signal: AbortSignal): Promise<Copied> {
  const refused = new AbortController();
  const over = new AbortController();
  const either = AbortSignal.any([signal, refused.signal]);
  const size = watchSize();
  const counter = openCounter({ ...options, totalBytes: size.totalBytes });
  const history = watchHistory({ ...copy, keep: await heldHistory(ends.target, copy, options.clock, signal) });
  const mute = await losesLastWord(copy, ends.target, signal);
  const { running, sockets } = await open(ends, copy, options.clock, signal);
  const looks = { ...history, control: { ...history.control, toSource: overheard(history.control.toSource, size) } };
  const channels = CHANNELS.map((channel) =>
    pump(
      { ...sockets[channel], ...looks[channel], meter: counter.meter },
      AbortSignal.any([either, over.signal]),
    ).catch((reason) => refused.abort(reason)),
  );
  try {
    const { movedAt, note: onTargetProgress } = counter;
    const letGo = () => over.abort();
    const watch = { clock: options.clock, letGo, movedAt, onTargetProgress, losesLastWord: mute };
    const outcomes = await awaitBoth(ends, running, watch, either);
    await throwUnlessDone(ends, copy, outcomes, options.clock, signal);
    return { bytes: counter.bytes(), guids: Object.fromEntries(history.guids()) };
  } finally {
    over.abort();
    await Promise.all(channels);
  }
}

/** What passes is what it was, and the watch has heard it. */
function overheard(inspect: Inspect, size: SizeWatch): Inspect {
  return (frame) => {
    size.note(frame);
    return inspect(frame);
  };
}

/** One server's operation, how to get at its websockets, and those that are there. */
type Party = {
  readonly end: End;
  readonly operation: Operation;
  readonly secrets: Secrets;
  readonly sockets: WebSocket[];
};

/** Both operations and all their websockets. What was begun is ended if the rest cannot be. */
async function open(
  ends: Ends,
  copy: Copy,
  clock: Clock,
  signal: AbortSignal,
): Promise<{ running: Running; sockets: Sockets }> {
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

type Counter = {
  readonly meter: Meter;
  bytes(): number;
  movedAt(): EpochMs;
  /** Takes the name of what is on its way from what a server says of it. */
  note(said: Progress): void;
};

/** Counts what really passes, tells of it now and then, and holds it to its rate. */
function openCounter({
  clock,
  onProgress,
  throttles,
  totalBytes,
}: RelayOptions & Pick<SizeWatch, "totalBytes">): Counter {
  let bytes = 0;
  let what: string | undefined;
  let movedAt = clock.now();
  let told = { at: movedAt, bytes: 0 };
  const tell = () => {
    const sinceMs = movedAt - told.at;
    if (sinceMs < TELL_EVERY_MS) return;
    const bytesPerSecond = Math.round(((bytes - told.bytes) * SECOND_MS) / sinceMs);
    onProgress({ bytes, totalBytes: totalBytes(), bytesPerSecond, what });
    told = { at: movedAt, bytes };
  };
  return {
    meter(size) {
      if (size > 0) movedAt = clock.now();
      bytes += size;
      tell();
      return Math.max(...throttles.map((throttle) => throttle.pay(size)), 0);
    },
    bytes: () => bytes,
    movedAt: () => movedAt,
    note: (said) => {
      what = said.what;
    },
  };
}
