import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { MINUTE_MS } from "../model/time.ts";
import type { Unit } from "../model/unit.ts";
import type { Connection } from "./connection.ts";
import type { Request } from "./exchange.ts";
import { isBusy } from "./listing.ts";
import type { Ended, Operations } from "./operations.ts";
import { LostRequest } from "./unreachable.ts";

/** What changes go through. */
export type Via = { readonly connection: Connection; readonly operations: Operations; readonly clock: Clock };

/** One thing to be done to a unit. */
export type Change = {
  /** As in "Cannot ...". */
  readonly what: string;
  readonly unit: Unit;
  readonly request: Request;
  /** Refused at once while another operation holds the unit: else it is asked for again until that one is over. */
  readonly impatient?: true;
  /** Whether the server's objects show that it was done. */
  readonly isDone: (signal: AbortSignal) => Promise<boolean>;
};

const BUSY_EVERY_MS = 1000;
const MOST_BUSY_MS = 10 * MINUTE_MS;

/** An operation of a run that was ended holds its instance until the server has given up its peer, after half a minute. */
const HELD_MS = 40_000;

/** The same as `carryOutNow()`, once nobody else is at work on the unit. */
export async function carryOut(via: Via, change: Change, signal: AbortSignal): Promise<void> {
  const until = via.clock.now() + HELD_MS;
  for (;;) {
    const [tried] = await Promise.allSettled([carryOutNow(via, change, signal)]);
    if (tried.status === "fulfilled") return;
    const isHeld = tried.reason instanceof AgentError && /is busy running/i.test(tried.reason.message);
    if (!isHeld || change.impatient || via.clock.now() >= until) throw tried.reason;
    await via.clock.sleep(BUSY_EVERY_MS, signal);
  }
}

/**
 * Asks for a change and waits until it is made, or throws why it was not. Where the answer or the operation's end is
 * lost, the objects themselves tell: a change that was made counts as made, however the news of it got lost.
 */
async function carryOutNow(via: Via, change: Change, signal: AbortSignal): Promise<void> {
  const { host } = via.connection;
  const ended = await ask(via, change, signal);
  if (ended.state === "success") return;
  if (ended.state === "failure") {
    throw new AgentError("incus.operation-failed", `Cannot ${change.what} on ${host}: ${ended.reason}`);
  }
  await untilIdle(via, change.unit, signal);
  if (await change.isDone(signal)) return;
  if (ended.cause !== undefined) throw ended.cause;
  throw new AgentError(
    "incus.operation-failed",
    `Cannot ${change.what} on ${host}: it was not done, and ${ended.why}`,
    {
      hint: "The server was perhaps started anew meanwhile; its log tells",
    },
  );
}

type Asked =
  | Exclude<Ended, { state: "unknown" }>
  | { state: "unknown"; why: string; cause?: unknown }
  | { state: "success" };

async function ask(via: Via, change: Change, signal: AbortSignal): Promise<Asked> {
  try {
    const answer = await via.connection.request(change.request, signal);
    if (answer.kind === "async") return await via.operations.waitFor(answer.operation, {}, signal);
    if (answer.kind === "sync") return { state: "success" };
    return { state: "failure", reason: answer.reason, cancelled: false };
  } catch (cause) {
    signal.throwIfAborted();
    if (!mayBeDone(cause)) throw cause;
    return { state: "unknown", why: cause.message, cause };
  }
}

/** Whether a request may have been carried out although there is no answer that says so. */
function mayBeDone(error: unknown): error is AgentError {
  if (error instanceof LostRequest) return error.sent;
  return error instanceof AgentError && error.code === "incus.bad-reply";
}

/** Until the server no longer works on the unit: what is half done shows objects that do not last. */
async function untilIdle({ connection, clock }: Via, unit: Unit, signal: AbortSignal): Promise<void> {
  const until = clock.now() + MOST_BUSY_MS;
  while (clock.now() < until && (await isBusy(connection, unit, signal))) await clock.sleep(BUSY_EVERY_MS, signal);
}
