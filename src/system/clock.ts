import { setTimeout } from "node:timers/promises";
import type { Clock } from "../model/ports.ts";

/** The clock on the wall. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (durationMs, signal) => {
    await setTimeout(durationMs, undefined, { signal });
  },
};
