import type { Copied, Copy, Progress } from "../model/copy.ts";
import type { Clock } from "../model/ports.ts";
import { pull, push, type Reached } from "./copy-direct.ts";
import type { Ends } from "./copy-ends.ts";
import { relay } from "./relay.ts";
import { type Rate, Throttle } from "./throttle.ts";

export type CopierOptions = {
  readonly clock: Clock;
  /** What all relays together may pass in a second. */
  readonly bytesPerSecond: Rate;
};

export type Copier = (copy: Copy, onProgress: (progress: Progress) => void, signal: AbortSignal) => Promise<Copied>;

/** Copies units from one server to the other: done only if both servers call it a success. */
export function openCopier(ends: Ends, { clock, bytesPerSecond }: CopierOptions): Copier {
  const reached: Reached = { source: undefined, target: undefined };
  const shared = new Throttle(bytesPerSecond, clock);
  return (copy, onProgress, signal) => {
    switch (copy.mode) {
      case "pull":
        return pull(ends, copy, { clock, onProgress, reached }, signal);
      case "push":
        return push(ends, copy, { clock, onProgress, reached }, signal);
      case "relay":
        return relay(ends, copy, { clock, onProgress, throttles: [shared, throttleOf(copy, clock)] }, signal);
    }
  };
}

function throttleOf(copy: Copy, clock: Clock): Throttle {
  return new Throttle(() => copy.bytesPerSecond, clock);
}
