import type { Copied, Copy, Progress } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { unitLabel } from "../model/unit.ts";
import type { Operation } from "./answer.ts";
import { abandon, awaitBoth, type End, type Ends, type Outcomes, type Running, secretsOf, start } from "./copy-ends.ts";
import { throwUnlessDone } from "./copy-outcome.ts";
import { type MigrationRequest, type Peer, sinkRequest, sourceRequest } from "./copy-requests.ts";
import { losesLastWord } from "./last-word.ts";

type Side = keyof Ends;

/** Under which address each server was last reached by the other one. */
export type Reached = { [S in Side]: string | undefined };

export type DirectOptions = {
  readonly clock: Clock;
  readonly onProgress: (progress: Progress) => void;
  /** Kept from copy to copy, so that the way is looked for only once. */
  readonly reached: Reached;
};

/** Starts both operations, so that the one dials the other under the given address. */
type Start = (address: string, certificate: string) => Promise<Running>;

/** The target fetches the data from the source. */
export function pull(ends: Ends, copy: Copy, options: DirectOptions, signal: AbortSignal): Promise<Copied> {
  return direct(ends, copy, "source", options, signal, async (address, certificate) => {
    const offer = sourceRequest(copy, undefined);
    const source = await start(ends.source, offer, options.clock, signal);
    const target = await startSecond(ends.source, source, () => {
      const peer = peerOf(ends.source, source, offer, address, certificate);
      return start(ends.target, sinkRequest(copy, peer), options.clock, signal);
    });
    return { source, target };
  });
}

/** The source sends the data to the target. */
export function push(ends: Ends, copy: Copy, options: DirectOptions, signal: AbortSignal): Promise<Copied> {
  return direct(ends, copy, "target", options, signal, async (address, certificate) => {
    const sink = sinkRequest(copy, undefined);
    const target = await start(ends.target, sink, options.clock, signal);
    const source = await startSecond(ends.target, target, () => {
      const peer = peerOf(ends.target, target, sink, address, certificate);
      return start(ends.source, sourceRequest(copy, peer), options.clock, signal);
    });
    return { source, target };
  });
}

/** Tries one address of the server that is dialled after the other, until its peer gets through. */
async function direct(
  ends: Ends,
  copy: Copy,
  dialled: Side,
  options: DirectOptions,
  signal: AbortSignal,
  startBoth: Start,
): Promise<Copied> {
  refuseHistory(copy);
  const { addresses, certificate } = await ends[dialled].facts(signal);
  const mute = await losesLastWord(copy, ends.target, signal);
  const [first, ...others] = inOrder(options.reached[dialled], ends[dialled].connection.url, addresses);
  let address = first;
  for (;;) {
    const running = await startBoth(address, certificate);
    const tally = openTally(options.onProgress);
    const watch = { clock: options.clock, onTargetProgress: tally.note, losesLastWord: mute };
    const outcomes = await awaitBoth(ends, running, watch, signal);
    const next = others.shift();
    if (next === undefined || !isUnreached(outcomes)) {
      await throwUnlessDone(ends, copy, outcomes, options.clock, signal);
      options.reached[dialled] = address;
      return { bytes: tally.bytes(), ...(outcomes.lingers === true ? { lingering: running.source.id } : {}) };
    }
    address = next;
  }
}

/** Only who stands between the servers can keep what the source has forgotten. */
function refuseHistory(copy: Copy): void {
  if (copy.keep.length === 0) return;
  throw new AgentError("history.refused", `Cannot keep the history of ${unitLabel(copy.target)} in ${copy.mode} mode`, {
    hint: "Set `mode: relay` for the project: without it a refresh deletes what the source no longer has",
  });
}

/** The way that led there before, then those that the server names, best first. */
function inOrder(reached: string | undefined, url: string, addresses: readonly string[]): [string, ...string[]] {
  const [first = url, ...others] = new Set(reached === undefined ? addresses : [reached, ...addresses]);
  return [first, ...others];
}

const UNREACHED =
  /unable to connect to|certificate signed by unknown authority|bad handshake|dial tcp|no route to host/i;

function isUnreached({ source, target }: Outcomes): boolean {
  return [source, target].some((ended) => ended.state === "failure" && UNREACHED.test(ended.reason));
}

/** Starts the second operation; if that fails, nobody will come for the first one. */
async function startSecond(end: End, first: Operation, begin: () => Promise<Operation>): Promise<Operation> {
  let isStarted = false;
  try {
    const second = await begin();
    isStarted = true;
    return second;
  } finally {
    if (!isStarted) await abandon(end, first);
  }
}

function peerOf(end: End, operation: Operation, request: MigrationRequest, address: string, certificate: string): Peer {
  const secrets = secretsOf(end, operation, request);
  return { operation: `${address}/1.0/operations/${operation.id}`, secrets, certificate };
}

type Tally = { note(progress: Progress): void; bytes(): number | undefined };

/** Incus counts each snapshot from nothing, so the most that was said of each adds up to the whole. */
function openTally(onProgress: (progress: Progress) => void): Tally {
  const most = new Map<string | undefined, number>();
  const bytes = () => [...most.values()].reduce((sum, part) => sum + part, 0);
  return {
    note(progress) {
      most.set(progress.what, Math.max(most.get(progress.what) ?? 0, progress.bytes));
      onProgress({ ...progress, bytes: bytes() });
    },
    bytes: () => (most.size === 0 ? undefined : bytes()),
  };
}
