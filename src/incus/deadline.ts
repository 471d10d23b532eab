import { setMaxListeners } from "node:events";

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
  const letGo = onAbort(signal, () => both.abort(signal.reason));
  try {
    return await untilAborted(work(both.signal), both.signal);
  } finally {
    clearTimeout(timer);
    letGo();
  }
}

/** Calls back when the signal is aborted, now or later, until the returned function is called. */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  // A run has one signal, and hundreds that wait under it: that many listeners are no leak.
  setMaxListeners(0, signal);
  signal.addEventListener("abort", callback, { once: true });
  if (signal.aborted) callback();
  return () => signal.removeEventListener("abort", callback);
}

/** The work's result, or the abort at once: not every library lets go the moment it is told to. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const letGo = onAbort(signal, () => reject(signal.reason));
    work.then(resolve, reject).finally(letGo);
  });
}
