import type { Clock } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";

/** The most bytes a second that may pass right now; undefined for as many as will. */
export type Rate = () => number | undefined;

/** How far a throttle may run ahead of its rate before it makes the reader wait. */
const BURST_MS = 100;

/**
 * A token bucket that is paid after the fact: what has come in is passed on at once, and what comes next has to wait
 * until the rate has caught up. The rate is asked again with every payment, so it may change by the hour.
 */
export class Throttle {
  readonly #clock: Pick<Clock, "now">;
  readonly #rate: Rate;
  /** The moment at which all that was paid for so far would have passed at the given rate. */
  #paidUntil = 0;

  constructor(rate: Rate, clock: Pick<Clock, "now">) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** Books bytes that have passed, and says for how many milliseconds nothing more should be read. */
  pay(bytes: number): number {
    const bytesPerSecond = this.#rate();
    const now = this.#clock.now();
    if (bytesPerSecond === undefined) {
      this.#paidUntil = now;
      return 0;
    }
    this.#paidUntil = Math.max(this.#paidUntil, now) + (bytes * SECOND_MS) / bytesPerSecond;
    const aheadMs = this.#paidUntil - now;
    return aheadMs > BURST_MS ? Math.ceil(aheadMs) : 0;
  }
}
