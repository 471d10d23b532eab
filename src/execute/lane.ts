/** Runs tasks in the order they come, so many at a time as the lane is wide. */
export type Lane = <T>(task: () => Promise<T>) => Promise<T>;

/** Opens a lane of the given width. */
export function openLane(width: number): Lane {
  const waiting: (() => void)[] = [];
  let busy = 0;
  return async (task) => {
    if (busy < width) busy += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await task();
    } finally {
      // The place is handed on rather than given back, so that nobody who comes later takes it.
      const next = waiting.shift();
      if (next) next();
      else busy -= 1;
    }
  };
}
