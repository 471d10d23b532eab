import { IncusRefusal } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { LostRequest } from "./unreachable.ts";

export type RetryOptions = {
  /** Whether the request may be sent again although it may have been carried out. */
  readonly idempotent: boolean;
  /** How long a server that says 503 is waited for. */
  readonly startupMs: number;
  readonly clock: Clock;
};

const MOST_ATTEMPTS = 5;
/** A cluster takes 20 s for it, unless its `cluster.offline_threshold` says otherwise, and a heartbeat more. */
const NOTICED_MS = 40_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

/** Tries again where that is safe: what was never sent, what changes nothing, and what a starting server turned away. */
export async function withRetries<T>(
  options: RetryOptions,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  const startedAt = options.clock.now();
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      const waitedMs = options.clock.now() - startedAt;
      if (!mayRepeat(error, attempts, waitedMs, options)) throw error;
    }
    await options.clock.sleep(pauseMs(attempts), signal);
  }
}

function mayRepeat(error: unknown, attempts: number, waitedMs: number, options: RetryOptions): boolean {
  // 503 comes before a request is looked at, so that it was not carried out whatever it was.
  if (error instanceof IncusRefusal && error.status === 503) return !isOffline(error) && waitedMs < options.startupMs;
  if (error instanceof IncusRefusal && isUnnoticed(error)) return options.idempotent && waitedMs < NOTICED_MS;
  if (error instanceof IncusRefusal) return isPassing(error) && options.idempotent && attempts < MOST_ATTEMPTS;
  if (!(error instanceof LostRequest) || attempts >= MOST_ATTEMPTS) return false;
  return error.transient && (options.idempotent || !error.sent);
}

/**
 * While a container's first process comes or goes, Incus 6.0.4 and 7.0.2 stumble over its number, and 7.0.2's list of volumes
 * over one that is being deleted. Whoever asks for that one itself is told 404.
 */
function isPassing({ reason, status }: IncusRefusal): boolean {
  return /invalid PID/i.test(reason) || (status === 500 && /storage volume not found/i.test(reason));
}

/** What Incus 7.0.2 says of a member that the cluster has noticed to be gone. */
function isOffline({ reason }: IncusRefusal): boolean {
  return /cluster member .* is offline/i.test(reason);
}

/** Until a cluster has noticed that a member is gone, Incus 7.0.2 does not list the volumes of the others either. */
function isUnnoticed({ reason }: IncusRefusal): boolean {
  return /cluster member is unavailable/i.test(reason);
}

/** Doubles from attempt to attempt, with jitter, so that several agents do not come back at the same moment. */
function pauseMs(attempts: number): number {
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** (attempts - 1), LONGEST_PAUSE_MS);
  return longest * (0.5 + Math.random() / 2);
}
