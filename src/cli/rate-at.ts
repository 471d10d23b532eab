import { type BandwidthLimit, bytesPerSecondAt } from "../model/bandwidth.ts";
import type { EpochMs } from "../model/time.ts";

/** What all relays together may pass in a second at a moment, by the clock on the wall of this machine. */
export function rateAt(limit: BandwidthLimit | undefined, now: EpochMs): number | undefined {
  if (limit === undefined) return undefined;
  const at = new Date(now);
  return bytesPerSecondAt(limit, at.getHours() * 60 + at.getMinutes());
}
