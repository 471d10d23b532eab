import { onAbort } from "./deadline.ts";

/** Lends one of the items to some work, in turn; with all of them lent, the work waits, or lets go when aborted. */
export type Turns<T> = <R>(work: (item: T) => Promise<R>, signal: AbortSignal) => Promise<R>;

/** Shares items that serve one at a time. The one that has rested longest is the next. */
export function takeTurns<T>(items: readonly T[]): Turns<T> {
  const free = [...items];
  const waiting: ((item: T) => void)[] = [];

  function borrow(signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const item = free.shift();
      if (item !== undefined) return resolve(item);
      const take = (given: T) => {
        letGo();
        resolve(given);
      };
      waiting.push(take);
      const letGo = onAbort(signal, () => {
        waiting.splice(waiting.indexOf(take), 1);
        reject(signal.reason);
      });
    });
  }

  function giveBack(item: T): void {
    const take = waiting.shift();
    if (take === undefined) free.push(item);
    else take(item);
  }

  return async (work, signal) => {
    const item = await borrow(signal);
    try {
      return await work(item);
    } finally {
      giveBack(item);
    }
  };
}
