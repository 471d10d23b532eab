import { DAY_MS, type EpochMs, HOUR_MS, MINUTE_MS, SECOND_MS } from "../model/time.ts";

const SIZES = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/** A number of bytes for people, in the units of the `incus` CLI: `512B`, `4.5MiB`, `120GiB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  let value = bytes;
  let unit = "B";
  for (const larger of SIZES) {
    if (value < 1023.5) break;
    value /= 1024;
    unit = larger;
  }
  return `${value < 99.95 ? Number(value.toFixed(1)) : Math.round(value)}${unit}`;
}

/** A speed for people. */
export function rateText(bytesPerSecond: number): string {
  return `${sizeText(bytesPerSecond)}/s`;
}

const SPANS: readonly (readonly [number, string])[] = [
  [DAY_MS, "d"],
  [HOUR_MS, "h"],
  [MINUTE_MS, "m"],
  [SECOND_MS, "s"],
];

/** A span of time for people, in its two largest units: `3d 4h`, `12m 5s`, `0.4s`. */
export function durationText(spanMs: number): string {
  if (spanMs < 10 * SECOND_MS) return `${Number((Math.max(spanMs, 0) / SECOND_MS).toFixed(1))}s`;
  const whole = Math.floor(spanMs / SECOND_MS) * SECOND_MS;
  const first = SPANS.findIndex(([unitMs]) => whole >= unitMs);
  const [large = SECOND_MS, largeName = "s"] = SPANS[first] ?? [];
  const rest = whole % large;
  const [small = SECOND_MS, smallName = "s"] = SPANS[first + 1] ?? [];
  const count = Math.floor(rest / small);
  return `${Math.floor(whole / large)}${largeName}${count > 0 && large > SECOND_MS ? ` ${count}${smallName}` : ""}`;
}

/** How long ago a moment was: `3d 4h ago`; a moment to come is `in 5m`. */
export function agoText(at: EpochMs, now: EpochMs): string {
  return at > now ? `in ${durationText(at - now)}` : `${durationText(now - at)} ago`;
}

/** A number of things: `1 snapshot`, `4 snapshots`. */
export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
