import { TZDate } from "@date-fns/tz";
import { addDays } from "date-fns";
import { type MaintenanceWindow, WEEKDAYS, type Weekday, type WindowState } from "../model/offsite.ts";
import { type EpochMs, HOUR_MS, MINUTE_MS } from "../model/time.ts";

const DAY_MINUTES = 24 * 60;
const WEEK_MINUTES = 7 * DAY_MINUTES;

// A window recurs within a week, but one that falls into a skipped hour waits for the week after.
const LOOK_AHEAD_DAYS = 15;

/**
 * Whether a window is open, and when that changes, as IncusOS decides it: to the minute, on the wall clock of the zone,
 * both ends included, and always where there is no window at all.
 */
export function windowState(windows: readonly MaintenanceWindow[], zone: string, at: EpochMs): WindowState {
  if (windows.length === 0) return { active: true, opensAt: undefined, closesAt: undefined };
  const spans = windows.flatMap(spansOf);
  const isOpen = (moment: EpochMs) => isOpenAt(spans, zone, moment);
  const active = isOpen(at);
  const changes = momentsOfChange(spans, zone, at).filter((moment) => moment > at);
  const closesNow = active ? changes.find((moment) => !isOpen(moment)) : undefined;
  const closedFrom = active ? closesNow : at;
  if (closedFrom === undefined) return { active, opensAt: undefined, closesAt: undefined };
  const opensAt = changes.find((moment) => moment > closedFrom && isOpen(moment));
  const closesNext = opensAt && changes.find((moment) => moment > opensAt && !isOpen(moment));
  return { active, opensAt, closesAt: active ? closesNow : closesNext };
}

/** A part of the week in minutes since Sunday 00:00; `last` is part of it and may lie in the week after. */
type Span = { readonly first: number; readonly last: number };

function spansOf(window: MaintenanceWindow): Span[] {
  const start = window.startHour * 60 + window.startMinute;
  const end = window.endHour * 60 + window.endMinute;
  if (window.days === undefined) {
    const overMidnight = end < start ? DAY_MINUTES : 0;
    return WEEKDAYS.map((day) => ({ first: minuteOf(day, start), last: minuteOf(day, end) + overMidnight }));
  }
  const first = minuteOf(window.days.start, start);
  const last = minuteOf(window.days.end, end);
  if (window.days.start === window.days.end && last < first) return [];
  return [{ first, last: last < first ? last + WEEK_MINUTES : last }];
}

function minuteOf(day: Weekday, minute: number): number {
  return WEEKDAYS.indexOf(day) * DAY_MINUTES + minute;
}

function isOpenAt(spans: readonly Span[], zone: string, at: EpochMs): boolean {
  const wall = new TZDate(at, zone);
  const minute = wall.getDay() * DAY_MINUTES + wall.getHours() * 60 + wall.getMinutes();
  return spans.some(({ first, last }) => [minute, minute + WEEK_MINUTES].some((each) => first <= each && each <= last));
}

/** Every moment at which the answer may change, in order: the ends of spans, and the changes of the clock itself. */
function momentsOfChange(spans: readonly Span[], zone: string, from: EpochMs): EpochMs[] {
  const edges = new Set(spans.flatMap(({ first, last }) => [first % DAY_MINUTES, (last + 1) % DAY_MINUTES]));
  const today = new TZDate(from, zone);
  const moments = Array.from({ length: LOOK_AHEAD_DAYS + 1 }, (_, days) => addDays(today, days)).flatMap((day) =>
    [...edges].flatMap((minute) => instantsOf(day, minute, zone)),
  );
  return [...new Set([...moments, ...clockChanges(zone, from)])].sort((a, b) => a - b);
}

/** The instants at which the day's wall clock shows the minute: one, two when an hour repeats, none when it is skipped. */
function instantsOf(day: TZDate, minute: number, zone: string): EpochMs[] {
  const shown = new TZDate(day.getFullYear(), day.getMonth(), day.getDate(), 0, minute, zone);
  return [-HOUR_MS, 0, HOUR_MS]
    .map((shift) => shown.getTime() + shift)
    .filter((at) => {
      const wall = new TZDate(at, zone);
      return wall.getHours() * 60 + wall.getMinutes() === minute;
    });
}

/** When the zone's offset from UTC changes, to the minute. */
function clockChanges(zone: string, from: EpochMs): EpochMs[] {
  const offsetAt = (at: EpochMs) => new TZDate(at, zone).getTimezoneOffset();
  const start = Math.floor(from / HOUR_MS) * HOUR_MS;
  const hours = Array.from({ length: (LOOK_AHEAD_DAYS + 1) * 24 }, (_, hour) => start + hour * HOUR_MS);
  return hours
    .filter((hour) => offsetAt(hour) !== offsetAt(hour + HOUR_MS))
    .map((hour) => {
      const minutes = Array.from({ length: 60 }, (_, minute) => hour + (minute + 1) * MINUTE_MS);
      return minutes.find((minute) => offsetAt(minute) !== offsetAt(hour)) ?? hour + HOUR_MS;
    });
}
