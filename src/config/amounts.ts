import type { BandwidthLimit, MinuteOfDay, RateWindow } from "../model/bandwidth.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../model/time.ts";

/** A value that was read, or why it cannot be. */
export type Reading<Value> = { readonly value: Value } | { readonly problem: string };

const DURATION_UNITS_MS: ReadonlyMap<string, number> = new Map([
  ["s", SECOND_MS],
  ["min", MINUTE_MS],
  ["h", HOUR_MS],
  ["d", DAY_MS],
]);

/** A span of time such as `6h`, `90min` or `1h30min`, in milliseconds. */
export function readDuration(text: string): Reading<number> {
  if (!/^(\d+\p{L}+)+$/u.test(text)) return { problem: "expected a time such as 6h or 90min" };
  let totalMs = 0;
  for (const [, amount, unit = ""] of text.matchAll(/(\d+)(\p{L}+)/gu)) {
    const unitMs = DURATION_UNITS_MS.get(unit.toLowerCase());
    if (unit === "m") return { problem: "m is a month in policies: write min for minutes" };
    if (unitMs === undefined) return { problem: `unknown unit "${unit}": use s, min, h or d` };
    totalMs += Number(amount) * unitMs;
  }
  if (totalMs === 0) return { problem: "the time cannot be zero" };
  // What timers can hold.
  return totalMs < 2 ** 31 ? { value: totalMs } : { problem: "the time is longer than 24 days" };
}

const BYTE_UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ...["k", "M", "G", "T"].flatMap((letter, power): [string, number][] => [
    [letter.toLowerCase(), 1000 ** (power + 1)],
    [`${letter.toLowerCase()}i`, 1024 ** (power + 1)],
  ]),
]);

/** A number of bytes such as `500MiB`. */
export function readSize(text: string): Reading<number> {
  const [, amount = "", prefix = ""] = /^(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?)B$/i.exec(text) ?? [];
  const bytes = Math.round(Number(amount) * (BYTE_UNITS.get(prefix.toLowerCase()) ?? 0));
  if (amount === "") return { problem: "expected a size such as 500MiB" };
  return Number.isSafeInteger(bytes) && bytes > 0 ? { value: bytes } : { problem: "the size is out of range" };
}

/** Bytes a second, such as `50MiB/s` or `100Mbit/s`; undefined for `unlimited`. */
export function readRate(text: string): Reading<number | undefined> {
  if (text === "unlimited") return { value: undefined };
  const [, amount = "", prefix = "", what = ""] = /^(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?)(B|bit)\/s$/i.exec(text) ?? [];
  if (amount === "") return { problem: "expected a rate such as 50MiB/s or 100Mbit/s, or unlimited" };
  const perSecond = Number(amount) * (BYTE_UNITS.get(prefix.toLowerCase()) ?? 0);
  const bytes = Math.round(what.toLowerCase() === "bit" ? perSecond / 8 : perSecond);
  return Number.isSafeInteger(bytes) && bytes > 0 ? { value: bytes } : { problem: "the rate is out of range" };
}

const WHOLE_DAY = 24 * 60;

/** A limit by the time of day: `{"22:00-06:00": "unlimited", "*": "20MiB/s"}`; `*` is the rest of the day. */
export function readBandwidthByHour(byHour: Readonly<Record<string, string>>): Reading<BandwidthLimit> {
  const windows: RateWindow[] = [];
  let otherwise: number | undefined;
  for (const [span, text] of Object.entries(byHour)) {
    const rate = readRate(text);
    if ("problem" in rate) return { problem: `${span}: ${rate.problem}` };
    if (span === "*") {
      otherwise = rate.value;
      continue;
    }
    const times = readSpanOfDay(span);
    if (times === undefined)
      return { problem: `${JSON.stringify(span)} is no span of the day such as 22:00-06:00, nor *` };
    windows.push({ ...times, bytesPerSecond: rate.value });
  }
  const twice = windows.find((one, index) => windows.slice(index + 1).some((other) => overlap(one, other)));
  if (twice !== undefined) return { problem: `another span overlaps ${clock(twice.from)}-${clock(twice.to)}` };
  return { value: { windows, otherwise } };
}

function readSpanOfDay(span: string): { from: MinuteOfDay; to: MinuteOfDay } | undefined {
  const [, ...numbers] = /^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$/.exec(span) ?? [];
  const [fromHour = 99, fromMinute = 99, toHour = 99, toMinute = 99] = numbers.map(Number);
  const [from, to] = [fromHour * 60 + fromMinute, toHour * 60 + toMinute];
  if (fromMinute > 59 || toMinute > 59 || from >= WHOLE_DAY || to > WHOLE_DAY || from === to) return undefined;
  return { from, to };
}

function overlap(one: RateWindow, other: RateWindow): boolean {
  return parts(one).some(([from, to]) => parts(other).some(([start, end]) => from < end && start < to));
}

function parts({ from, to }: RateWindow): [MinuteOfDay, MinuteOfDay][] {
  return from < to
    ? [[from, to]]
    : [
        [from, WHOLE_DAY],
        [0, to],
      ];
}

function clock(minute: MinuteOfDay): string {
  return [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, "0")).join(":");
}
