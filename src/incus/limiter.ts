import { onAbort } from "./deadline.ts";

/** Lets so many run at a time; the others wait their turn, in order, or until they are aborted. */
export type Limiter = <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>;

export function limiter(most: number): Limiter {
  const waiting: (() => void)[] = [];
  let running = 0;

  async function turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (running < most) {
      running += 1;
      return;
    }
    // The one who leaves hands its place on, so `running` stays as it is.
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        letGo();
        resolve();
      };
      waiting.push(enter);
      const letGo = onAbort(signal, () => {
        waiting.splice(waiting.indexOf(enter), 1);
        reject(signal.reason);
      });
    });
  }

  return async (work, signal) => {
    await turn(signal);
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
