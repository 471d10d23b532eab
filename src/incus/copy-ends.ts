import { z } from "zod";
import type { Progress } from "../model/copy.ts";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { type EpochMs, MINUTE_MS, SECOND_MS } from "../model/time.ts";
import { badReply, type Operation } from "./answer.ts";
import type { MigrationRequest, Secrets } from "./copy-requests.ts";
import { isUntold, UNTOLD, watchLastWord } from "./last-word.ts";
import type { Ended } from "./operations.ts";
import type { IncusServer } from "./server.ts";

/** One of the two servers of a copy. */
export type End = Pick<IncusServer, "connection" | "operations" | "facts" | "pools" | "snapshots">;

export type Ends = { readonly source: End; readonly target: End };

/** The two operations of a copy, one on each server. */
export type Running = { readonly source: Operation; readonly target: Operation };

/** What both operations came to. */
export type Outcomes = {
  readonly source: Ended;
  readonly target: Ended;
  /** The source's operation never ends. */
  readonly lingers?: boolean;
};

export type WatchOptions = {
  readonly clock: Clock;
  readonly onTargetProgress?: (progress: Progress) => void;
  /** When data was last seen to move by somebody else than the operations. */
  readonly movedAt?: () => EpochMs;
  /** The data passes through the agent: when it lets go of the connections, both operations end. */
  readonly letGo?: () => Promise<void>;
  /** The target is one that loses its last word when the data take long. */
  readonly losesLastWord?: boolean;
};

/** How long the end of what was cancelled is waited for; a sink that nobody connects to ends after 30 s. */
const GIVING_UP_MS = 35 * SECOND_MS;

/** An operation that was given up holds its instance for as long, even if it is no longer listed. */
const BUSY_MS = 40 * SECOND_MS;
const BUSY_EVERY_MS = SECOND_MS;

/** How long an operation gets to see for itself that its connections are gone, or that the other side has failed. */
const NOTICE_MS = 5 * SECOND_MS;

/** How long one side may go on alone once the other has called the copy a success: they end within seconds of each other. */
const LAGGING_MS = 2 * MINUTE_MS;

const SecretsSchema = z.object({ control: z.string().min(1), fs: z.string().min(1) });

/** Starts one end of a migration, as soon as the server is done with what it was doing to the unit. */
export async function start(
  end: End,
  request: MigrationRequest,
  clock: Clock,
  signal: AbortSignal,
): Promise<Operation> {
  const until = clock.now() + BUSY_MS;
  for (;;) {
    const answer = await end.connection.request(request, signal).catch((error) => {
      if (isBusy(error) && clock.now() < until) return undefined;
      throw error;
    });
    if (answer?.kind === "async") return answer.operation;
    if (answer !== undefined)
      throw badReply(askedOf(end, request), `an answer of type ${answer.kind} where async is due`);
    await clock.sleep(BUSY_EVERY_MS, signal);
  }
}

/** Another operation holds the instance, perhaps one that was given up and waits for its own end. */
function isBusy(error: unknown): boolean {
  return error instanceof IncusRefusal && /busy running/i.test(error.message);
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
  const { clock } = options;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const lastWord = watchLastWord(options.losesLastWord ?? false, clock);
  let seenAt = clock.now();
  const movedAt = () => Math.max(seenAt, options.movedAt?.() ?? 0);
  const wait = async (side: Side, tell: ((progress: Progress) => void) | undefined) => {
    const onProgress = (progress: Progress) => {
      // One that waits for the other shows nothing of its own.
      seenAt = clock.now();
      tell?.(progress);
    };
    const ended = await ends[side].operations.waitFor(running[side], { onProgress, movedAt }, either);
    if (side === "target") lastWord.targetEnded(ended, either);
    if (ended.state !== "success") void endOther(ends, running, OTHER[side], clock, either);
    else if (side === "source" || !lastWord.isLost())
      void clock.sleep(LAGGING_MS, either).then(
        () => stop.abort(lagging(ends, running, OTHER[side])),
        () => {},
      );
    return ended;
  };
  let isOver = false;
  try {
    const [source, target] = await Promise.all([
      Promise.race([wait("source", undefined), lastWord.missed]),
      wait("target", options.onTargetProgress),
    ]);
    const lingers =
      source === UNTOLD && !(await ends.source.operations.cancel(running.source, signal).catch(() => false));
    isOver = true;
    return { source: lastWord.isLost() && isUntold(source) ? UNTOLD : source, target, lingers };
  } finally {
    stop.abort();
    if (!isOver) await giveUp(ends, running, options.letGo, clock);
  }
}

function lagging(ends: Ends, running: Running, side: Side): AgentError {
  const [late, early] = [ends[side].connection.host, ends[OTHER[side]].connection.host];
  return new AgentError(
    "incus.operation-failed",
    `${early} calls the copy a success, and its operation on ${late} has not ended ${LAGGING_MS / SECOND_MS} s later (operation ${running[side].id})`,
    { hint: "The copy does not count, and the next run makes it again. `incus operation list` on the server shows it" },
  );
}

/** Asks a server to give its operation up, to which nobody has connected and nobody will. Its own end matters to nobody. */
export async function abandon(end: End, operation: Operation): Promise<void> {
  await end.operations.cancel(operation, AbortSignal.timeout(GIVING_UP_MS)).catch(() => false);
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

/**
 * Ends both, under a time of its own, and waits until they have ended. One at a time: a daemon before 7.0.1 (of 7.1 and 7.2
 * too) falls over an operation that is cancelled at the very moment at which it ends by itself, and takes all with it.
 */
async function giveUp(
  ends: Ends,
  running: Running,
  letGo: (() => Promise<void>) | undefined,
  clock: Clock,
): Promise<void> {
  const signal = AbortSignal.timeout(GIVING_UP_MS);
  if (letGo !== undefined) await letGo();
  else if (!(await cancelEither(ends, running, signal))) return;
  const both: readonly Side[] = ["source", "target"];
  await Promise.all(both.map((side) => untilEnded(ends[side], running[side], clock, signal)));
}

/** Whether one of them could be cancelled, which ends the other. Else both run to their end without us. */
async function cancelEither(ends: Ends, running: Running, signal: AbortSignal): Promise<boolean> {
  for (const side of ["source", "target"] as const) {
    if (await ends[side].operations.cancel(running[side], signal).catch(() => false)) return true;
  }
  return false;
}

/** Waits for an operation that has every reason to end. Only one that does not after all is cancelled: see above. */
export async function untilEnded(end: End, operation: Operation, clock: Clock, signal: AbortSignal): Promise<void> {
  const ended = () => end.operations.waitFor(operation, {}, signal).then(isTrue, isFalse);
  const late = clock.sleep(NOTICE_MS, signal).then(isFalse, isFalse);
  if (await Promise.race([ended(), late])) return;
  if (await end.operations.cancel(operation, signal).catch(isFalse)) await ended();
}

const isTrue = () => true;
const isFalse = () => false;

function askedOf(end: End, { method, path }: MigrationRequest) {
  return { host: end.connection.host, method, path };
}
