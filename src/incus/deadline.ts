/** What a wait is ended with when its own time is up, rather than its caller's. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/** Runs some work under the caller's signal and a deadline of its own; nothing of either outlives the work. */
export async function withDeadline<T>(
  timeoutMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const both = new AbortController();
  const timer = setTimeout(() => both.abort(new DeadlineError(`no answer within ${timeoutMs} ms`)), timeoutMs);
  const onAbort = () => both.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await untilAborted(work(both.signal), both.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** The work's result, or the abort at once: not every library lets go the moment it is told to. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
