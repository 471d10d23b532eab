import type { Progress } from "../model/copy.ts";
import { IncusRefusal } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { type EpochMs, MINUTE_MS } from "../model/time.ts";
import type { Operation } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { onAbort } from "./deadline.ts";
import { type Events, listen } from "./events.ts";
import { isFinal, type Look, look, lookOf } from "./look.ts";
import { type Motion, watchMotion } from "./motion.ts";

/** How an operation ended. */
export type Ended =
  | Extract<Look, { state: "success" | "failure" }>
  /** The server has forgotten it, or could not be asked: the objects themselves tell what became of it. */
  | { readonly state: "unknown"; readonly why: string };

type WaitOptions = {
  readonly onProgress?: (progress: Progress) => void;
  /** When something was last seen to move that the operation itself does not show, as a relay's bytes. */
  readonly movedAt?: () => EpochMs;
  /** Ask the server to cancel it when the wait is given up. */
  readonly cancel?: boolean;
};

/** The operations of one server. */
export type Operations = {
  /** Waits until it has ended, however long that takes, as long as it moves. */
  waitFor(operation: Operation, options: WaitOptions, signal: AbortSignal): Promise<Ended>;
  /** Asks the server to cancel it; false if it cannot be, or is over. */
  cancel(operation: Operation, signal: AbortSignal): Promise<boolean>;
  close(): void;
};

/** A server forgets an operation 5 s after its end, so it has to be looked at more often than that. */
const LOOK_EVERY_MS = 3000;
/** Without events a look is a wait of some seconds, of which only so many may hold a connection. */
const LOOK_UNHEARD_MS = 250;
const LOOK_CROWDED_MS = 1000;
const WAIT_SECONDS = 2;
const MOST_WAITS = 2;
/** An operation runs on while we cannot reach its server. */
const MOST_LOST_MS = 5 * MINUTE_MS;
const CANCEL_MS = 10_000;

/** Watches a server's operations: its events tell early that one has ended, what it says when asked is the truth. */
export function watchOperations(connection: Connection, clock: Clock, silentMs: number): Operations {
  let events: Events | undefined;
  let waits = 0;

  async function waitFor(operation: Operation, options: WaitOptions, signal: AbortSignal): Promise<Ended> {
    events ??= listen(connection, clock);
    const { onProgress, movedAt } = options;
    const motion = watchMotion(operation, { host: connection.host, clock, silentMs, onProgress, movedAt });
    try {
      return await untilEnded(events, operation.id, motion, signal);
    } catch (error) {
      if (options.cancel === true) await cancelAnyway(operation);
      throw error;
    }
  }

  async function untilEnded(heard: Events, id: string, motion: Motion, signal: AbortSignal): Promise<Ended> {
    let answeredAt = clock.now();
    for (;;) {
      await untilWorthALook(heard, id, motion, signal);
      const seen = await lookAt(heard, id, signal);
      const end = endOf(seen, heard.latest(id), connection.host);
      if (end !== undefined) return end;
      if (seen.state === "lost") {
        if (clock.now() - answeredAt > MOST_LOST_MS) return { state: "unknown", why: seen.why };
        continue;
      }
      answeredAt = clock.now();
      if (seen.state === "running") motion.note(seen.operation);
      motion.check();
    }
  }

  /** Until its end is heard of, or it is time to look whether it was missed. */
  async function untilWorthALook(heard: Events, id: string, motion: Motion, signal: AbortSignal): Promise<void> {
    const unheardMs = waits < MOST_WAITS ? LOOK_UNHEARD_MS : LOOK_CROWDED_MS;
    const until = clock.now() + (heard.isLive() ? LOOK_EVERY_MS : unheardMs);
    while (clock.now() < until) {
      const latest = heard.latest(id);
      motion.note(latest);
      if (latest !== undefined && isFinal(latest)) return;
      await nextOr(heard, id, until - clock.now(), signal);
    }
  }

  async function nextOr(heard: Events, id: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const over = new AbortController();
    const letGo = onAbort(signal, () => over.abort());
    try {
      await Promise.race([heard.next(id, over.signal), clock.sleep(timeoutMs, over.signal).catch(() => {})]);
      signal.throwIfAborted();
    } finally {
      over.abort();
      letGo();
    }
  }

  async function lookAt(heard: Events, id: string, signal: AbortSignal): Promise<Look> {
    const latest = heard.latest(id);
    const isOver = latest !== undefined && isFinal(latest);
    // A wait for what is over answers at once; one for what is not holds a connection meanwhile.
    if (!isOver && (heard.isLive() || waits >= MOST_WAITS)) return look(connection, id, undefined, signal);
    waits += 1;
    try {
      return await look(connection, id, WAIT_SECONDS, signal);
    } finally {
      waits -= 1;
    }
  }

  async function cancel(operation: Operation, signal: AbortSignal): Promise<boolean> {
    const path = `/1.0/operations/${encodeURIComponent(operation.id)}`;
    try {
      await connection.request({ method: "DELETE", path }, signal);
      return true;
    } catch (error) {
      // 400: not this one, or no more; 404: long over.
      if (error instanceof IncusRefusal && (error.status === 400 || error.status === 404)) return false;
      throw error;
    }
  }

  /** Under a time of its own, since the caller's is up. What brought us here matters more than whether this works. */
  async function cancelAnyway(operation: Operation): Promise<void> {
    await cancel(operation, AbortSignal.timeout(CANCEL_MS)).catch(() => {});
  }

  return { waitFor, cancel, close: () => events?.close() };
}

/** The end that a look has shown. A forgotten operation's end was perhaps heard of. */
function endOf(seen: Look, latest: Operation | undefined, host: string): Ended | undefined {
  if (seen.state === "success" || seen.state === "failure") return seen;
  if (seen.state !== "forgotten") return undefined;
  const last = latest === undefined ? undefined : lookOf(latest);
  if (last?.state === "success" || last?.state === "failure") return last;
  return { state: "unknown", why: `${host} no longer knows the operation` };
}
