import { z } from "zod";
import type { Copy, Progress } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { ServerFacts } from "../model/state.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";
import { type Unit, unitLabel } from "../model/unit.ts";
import { badReply, type Operation } from "./answer.ts";
import type { Connection } from "./connection.ts";
import type { MigrationRequest, Secrets } from "./copy-requests.ts";
import type { Ended, Operations } from "./operations.ts";

/** One of the two servers of a copy. */
export type End = {
  readonly connection: Connection;
  readonly operations: Operations;
  facts(signal: AbortSignal): Promise<ServerFacts>;
  snapshots(unit: Unit, signal: AbortSignal): Promise<readonly Snapshot[]>;
};

export type Ends = { readonly source: End; readonly target: End };

/** The two operations of a copy, one on each server. */
export type Running = { readonly source: Operation; readonly target: Operation };

/** What both operations came to. */
export type Outcomes = { readonly source: Ended; readonly target: Ended };

export type WatchOptions = {
  readonly clock: Clock;
  readonly onSourceProgress?: (progress: Progress) => void;
  readonly onTargetProgress?: (progress: Progress) => void;
  /** When data was last seen to move by somebody else than the operations. */
  readonly movedAt?: () => EpochMs;
  /** The data passes through the agent: when it lets go, both operations end. */
  readonly relayed?: boolean;
};

/** How long the end of what was cancelled is waited for; a sink that nobody connects to ends after 30 s. */
const GIVING_UP_MS = 35 * SECOND_MS;

/** How long the other side gets to see for itself that one has failed. */
const NOTICE_MS = 3 * SECOND_MS;

const SecretsSchema = z.object({ control: z.string().min(1), fs: z.string().min(1) });

/** Starts one end of a migration. */
export async function start(end: End, request: MigrationRequest, signal: AbortSignal): Promise<Operation> {
  const answer = await end.connection.request(request, signal);
  if (answer.kind === "async") return answer.operation;
  throw badReply(askedOf(end, request), `an answer of type ${answer.kind} where async is due`);
}

/** What whoever connects to the operation has to show. */
export function secretsOf(end: End, operation: Operation, request: MigrationRequest): Secrets {
  const read = SecretsSchema.safeParse(operation.metadata);
  // Without the parser's words: they may quote a secret.
  if (!read.success) throw badReply(askedOf(end, request), "the operation has no secrets for its websockets");
  return read.data;
}

/** Waits for both operations. Whatever ends the wait early ends both of them too, as far as the servers allow. */
export async function awaitBoth(
  ends: Ends,
  running: Running,
  options: WatchOptions,
  signal: AbortSignal,
): Promise<Outcomes> {
  const { clock, onSourceProgress, onTargetProgress } = options;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  let seenAt = clock.now();
  const movedAt = () => Math.max(seenAt, options.movedAt?.() ?? 0);
  const wait = async (side: Side, tell: ((progress: Progress) => void) | undefined) => {
    const onProgress = (progress: Progress) => {
      // One that waits for the other shows nothing of its own.
      seenAt = clock.now();
      tell?.(progress);
    };
    const ended = await ends[side].operations.waitFor(running[side], { onProgress, movedAt }, either);
    if (ended.state !== "success") void endOther(ends, running, OTHER[side], clock, either);
    return ended;
  };
  let isOver = false;
  try {
    const [source, target] = await Promise.all([wait("source", onSourceProgress), wait("target", onTargetProgress)]);
    isOver = true;
    return { source, target };
  } finally {
    stop.abort();
    if (!isOver) await giveUp(ends, running, options.relayed ?? false);
  }
}

/** Asks the source to give its operation up, because no target will come for it. Its own end matters to nobody. */
export async function abandon(end: End, operation: Operation): Promise<void> {
  await end.operations.cancel(operation, AbortSignal.timeout(GIVING_UP_MS)).catch(() => false);
}

/** Nothing unless both servers call it a success; else why not, in the words of both. */
export async function throwUnlessDone(ends: Ends, copy: Copy, outcomes: Outcomes, signal: AbortSignal): Promise<void> {
  const { source, target } = outcomes;
  if (source.state === "success" && target.state === "success") return;
  if (source.state === "failure" || target.state === "failure") throw failure(ends, copy, outcomes);
  await judgeByObjects(ends, copy, outcomes, signal);
}

function failure(ends: Ends, copy: Copy, { source, target }: Outcomes): AgentError {
  const told = [...wordsOf("the target", ends.target, target), ...wordsOf("the source", ends.source, source)];
  return new AgentError("incus.operation-failed", `Cannot copy ${unitLabel(copy.source)}: ${told.join("; ")}`, {
    hint: hintFor(told.join("\n")),
  });
}

function wordsOf(who: string, end: End, ended: Ended): string[] {
  switch (ended.state) {
    case "success":
      return [];
    case "failure":
      return [`${who} ${end.connection.host} says: ${ended.reason}`];
    case "unknown":
      return [`${who} ${end.connection.host} cannot tell: ${ended.why}`];
  }
}

const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /quota exceeded|smaller than the migration source/i,
    "The replica's size is smaller than the data: raise its `size`",
  ],
  [/no space left|out of space/i, "The pool is full: free some space there"],
  [/Instance is running/i, "A replica must be stopped to be refreshed"],
  [/busy running/i, "Another operation holds the instance: see `incus operation list` there"],
  [/Unable to connect to/i, "The servers do not reach each other: use `mode: relay`, or push in place of pull"],
  [/Unknown configuration key|doesn't exist|not found/i, "Something that the replica needs is missing on the target"],
];

function hintFor(words: string): string {
  return HINTS.find(([pattern]) => pattern.test(words))?.[1] ?? "What the target had before is still there; run again";
}

/** The servers have forgotten how it ended: then what is there has to tell. */
async function judgeByObjects(ends: Ends, copy: Copy, outcomes: Outcomes, signal: AbortSignal): Promise<void> {
  const there = new Set((await ends.target.snapshots(copy.target, signal)).map(({ name }) => name));
  const sent = copy.sends ?? [];
  if (sent.length > 0 && sent.every((name) => there.has(name))) return;
  const told = [
    ...wordsOf("the target", ends.target, outcomes.target),
    ...wordsOf("the source", ends.source, outcomes.source),
  ];
  throw new AgentError(
    "copy.unproven",
    `Cannot tell whether ${unitLabel(copy.source)} was copied: ${told.join("; ")}`,
    {
      hint: "The next run sees what is there, and completes it",
    },
  );
}

type Side = keyof Ends;
const OTHER: Readonly<Record<Side, Side>> = { source: "target", target: "source" };

/** A server whose peer is gone may wait for it half a minute: it is told, where it lets itself be told. */
async function endOther(ends: Ends, running: Running, side: Side, clock: Clock, signal: AbortSignal): Promise<void> {
  await clock
    .sleep(NOTICE_MS, signal)
    .then(() => ends[side].operations.cancel(running[side], signal))
    .catch(() => false);
}

/** Ends what can be ended, under a time of its own, and waits until it has. */
async function giveUp(ends: Ends, running: Running, relayed: boolean): Promise<void> {
  const signal = AbortSignal.timeout(GIVING_UP_MS);
  const both: readonly Side[] = ["source", "target"];
  const ending = await Promise.all(
    both.map((side) => ends[side].operations.cancel(running[side], signal).catch(() => false)),
  );
  // What no server lets itself be talked out of runs to its end without us.
  if (!relayed && !ending.includes(true)) return;
  await Promise.allSettled(both.map((side) => ends[side].operations.waitFor(running[side], {}, signal)));
}

function askedOf(end: End, { method, path }: MigrationRequest) {
  return { host: end.connection.host, method, path };
}
