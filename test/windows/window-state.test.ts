import fc from "fast-check";
import { expect, test } from "vitest";
import { type MaintenanceWindow, WEEKDAYS, type Weekday } from "../../src/model/offsite.ts";
import { MINUTE_MS, rfc3339 } from "../../src/model/time.ts";
import { windowState } from "../../src/windows/window-state.ts";

/** `22:00-06:00`, or with days `Fri 22:00-Mon 06:00`. */
function windowOf(text: string): MaintenanceWindow {
  const found = /^(?:(\w{3}) )?(\d\d):(\d\d)-(?:(\w{3}) )?(\d\d):(\d\d)$/.exec(text);
  if (found === null) throw new Error(`${text} is no window`);
  const [, startDay, startHour, startMinute, endDay, endHour, endMinute] = found;
  const days = startDay && endDay ? { start: dayOf(startDay), end: dayOf(endDay) } : undefined;
  return {
    days,
    startHour: Number(startHour),
    startMinute: Number(startMinute),
    endHour: Number(endHour),
    endMinute: Number(endMinute),
  };
}

function dayOf(short: string): Weekday {
  const day = WEEKDAYS.find((each) => each.startsWith(short));
  if (day === undefined) throw new Error(`${short} is no day`);
  return day;
}

// In November 2026 the 22nd is a Sunday. Berlin: UTC+1; it leaves summer time on 25 October 2026 at 03:00 and enters it
// on 28 March 2027 at 02:00.
type Case = [
  windows: string,
  zone: string,
  at: string,
  active: boolean,
  opensAt: string | null,
  closesAt: string | null,
];
const cases: Case[] = [
  // No windows: always.
  ["", "UTC", "2026-11-22T12:00:00Z", true, null, null],
  ["", "Europe/Berlin", "2027-03-28T01:30:00Z", true, null, null],
  // One a day, over midnight; the end minute is part of it.
  ["22:00-06:00", "UTC", "2026-11-21T21:59:59Z", false, "2026-11-21T22:00:00Z", "2026-11-22T06:01:00Z"],
  ["22:00-06:00", "UTC", "2026-11-21T22:00:00Z", true, "2026-11-22T22:00:00Z", "2026-11-22T06:01:00Z"],
  ["22:00-06:00", "UTC", "2026-11-21T23:30:00Z", true, "2026-11-22T22:00:00Z", "2026-11-22T06:01:00Z"],
  ["22:00-06:00", "UTC", "2026-11-22T00:00:00Z", true, "2026-11-22T22:00:00Z", "2026-11-22T06:01:00Z"],
  ["22:00-06:00", "UTC", "2026-11-22T05:59:00Z", true, "2026-11-22T22:00:00Z", "2026-11-22T06:01:00Z"],
  ["22:00-06:00", "UTC", "2026-11-22T06:00:59Z", true, "2026-11-22T22:00:00Z", "2026-11-22T06:01:00Z"],
  ["22:00-06:00", "UTC", "2026-11-22T06:01:00Z", false, "2026-11-22T22:00:00Z", "2026-11-23T06:01:00Z"],
  ["22:00-06:00", "UTC", "2026-11-22T12:00:00Z", false, "2026-11-22T22:00:00Z", "2026-11-23T06:01:00Z"],
  // One a day, within it.
  ["09:30-17:15", "UTC", "2026-11-22T09:29:59Z", false, "2026-11-22T09:30:00Z", "2026-11-22T17:16:00Z"],
  ["09:30-17:15", "UTC", "2026-11-22T09:30:00Z", true, "2026-11-23T09:30:00Z", "2026-11-22T17:16:00Z"],
  ["09:30-17:15", "UTC", "2026-11-22T17:15:59Z", true, "2026-11-23T09:30:00Z", "2026-11-22T17:16:00Z"],
  ["09:30-17:15", "UTC", "2026-11-22T17:16:00Z", false, "2026-11-23T09:30:00Z", "2026-11-23T17:16:00Z"],
  // Start equal to end: one minute a day.
  ["03:00-03:00", "UTC", "2026-11-22T02:59:59Z", false, "2026-11-22T03:00:00Z", "2026-11-22T03:01:00Z"],
  ["03:00-03:00", "UTC", "2026-11-22T03:00:30Z", true, "2026-11-23T03:00:00Z", "2026-11-22T03:01:00Z"],
  ["03:00-03:00", "UTC", "2026-11-22T03:01:00Z", false, "2026-11-23T03:00:00Z", "2026-11-23T03:01:00Z"],
  // The whole day: it never closes.
  ["00:00-23:59", "UTC", "2026-11-22T12:00:00Z", true, null, null],
  ["00:00-23:59", "UTC", "2026-11-22T23:59:59Z", true, null, null],
  ["12:00-11:59", "UTC", "2026-11-22T11:59:30Z", true, null, null],
  // Once a week, on one day.
  ["Sun 02:00-Sun 04:00", "UTC", "2026-11-22T01:59:00Z", false, "2026-11-22T02:00:00Z", "2026-11-22T04:01:00Z"],
  ["Sun 02:00-Sun 04:00", "UTC", "2026-11-22T02:00:00Z", true, "2026-11-29T02:00:00Z", "2026-11-22T04:01:00Z"],
  ["Sun 02:00-Sun 04:00", "UTC", "2026-11-22T04:00:59Z", true, "2026-11-29T02:00:00Z", "2026-11-22T04:01:00Z"],
  ["Sun 02:00-Sun 04:00", "UTC", "2026-11-22T04:01:00Z", false, "2026-11-29T02:00:00Z", "2026-11-29T04:01:00Z"],
  ["Sun 02:00-Sun 04:00", "UTC", "2026-11-23T03:00:00Z", false, "2026-11-29T02:00:00Z", "2026-11-29T04:01:00Z"],
  // The same day with its end before its start: IncusOS refuses it, and it is never open.
  ["Mon 22:00-Mon 06:00", "UTC", "2026-11-23T23:00:00Z", false, null, null],
  ["Mon 22:00-Mon 06:00", "UTC", "2026-11-23T03:00:00Z", false, null, null],
  // From one day to the next.
  ["Sat 23:00-Sun 01:00", "UTC", "2026-11-21T22:59:00Z", false, "2026-11-21T23:00:00Z", "2026-11-22T01:01:00Z"],
  ["Sat 23:00-Sun 01:00", "UTC", "2026-11-21T23:00:00Z", true, "2026-11-28T23:00:00Z", "2026-11-22T01:01:00Z"],
  ["Sat 23:00-Sun 01:00", "UTC", "2026-11-22T00:30:00Z", true, "2026-11-28T23:00:00Z", "2026-11-22T01:01:00Z"],
  ["Sat 23:00-Sun 01:00", "UTC", "2026-11-22T01:01:00Z", false, "2026-11-28T23:00:00Z", "2026-11-29T01:01:00Z"],
  // One long block, not every night.
  ["Mon 22:00-Fri 06:00", "UTC", "2026-11-25T12:00:00Z", true, "2026-11-30T22:00:00Z", "2026-11-27T06:01:00Z"],
  ["Mon 22:00-Fri 06:00", "UTC", "2026-11-27T06:00:00Z", true, "2026-11-30T22:00:00Z", "2026-11-27T06:01:00Z"],
  ["Mon 22:00-Fri 06:00", "UTC", "2026-11-27T06:01:00Z", false, "2026-11-30T22:00:00Z", "2026-12-04T06:01:00Z"],
  ["Mon 22:00-Fri 06:00", "UTC", "2026-11-28T23:00:00Z", false, "2026-11-30T22:00:00Z", "2026-12-04T06:01:00Z"],
  // Over the end of the week.
  ["Fri 22:00-Mon 06:00", "UTC", "2026-11-20T21:59:00Z", false, "2026-11-20T22:00:00Z", "2026-11-23T06:01:00Z"],
  ["Fri 22:00-Mon 06:00", "UTC", "2026-11-20T22:00:00Z", true, "2026-11-27T22:00:00Z", "2026-11-23T06:01:00Z"],
  ["Fri 22:00-Mon 06:00", "UTC", "2026-11-21T23:59:59Z", true, "2026-11-27T22:00:00Z", "2026-11-23T06:01:00Z"],
  ["Fri 22:00-Mon 06:00", "UTC", "2026-11-22T12:00:00Z", true, "2026-11-27T22:00:00Z", "2026-11-23T06:01:00Z"],
  ["Fri 22:00-Mon 06:00", "UTC", "2026-11-23T06:00:00Z", true, "2026-11-27T22:00:00Z", "2026-11-23T06:01:00Z"],
  ["Fri 22:00-Mon 06:00", "UTC", "2026-11-23T07:00:00Z", false, "2026-11-27T22:00:00Z", "2026-11-30T06:01:00Z"],
  ["Sat 00:00-Sat 23:59", "UTC", "2026-11-21T23:59:59Z", true, "2026-11-28T00:00:00Z", "2026-11-22T00:00:00Z"],
  // A whole week, written two ways.
  ["Sun 00:00-Sat 23:59", "UTC", "2026-11-25T12:00:00Z", true, null, null],
  ["Wed 12:00-Wed 11:59", "UTC", "2026-11-25T12:00:00Z", false, null, null],
  // Several: open if any is, and what touches is one.
  ["01:00-02:00,04:00-05:00", "UTC", "2026-11-22T03:00:00Z", false, "2026-11-22T04:00:00Z", "2026-11-22T05:01:00Z"],
  ["01:00-02:00,02:01-03:00", "UTC", "2026-11-22T01:30:00Z", true, "2026-11-23T01:00:00Z", "2026-11-22T03:01:00Z"],
  ["01:00-02:30,02:00-03:00", "UTC", "2026-11-22T01:30:00Z", true, "2026-11-23T01:00:00Z", "2026-11-22T03:01:00Z"],
  [
    "22:00-06:00,Sat 06:00-Sun 22:00",
    "UTC",
    "2026-11-21T12:00:00Z",
    true,
    "2026-11-23T22:00:00Z",
    "2026-11-23T06:01:00Z",
  ],
  [
    "Mon 22:00-Mon 06:00,01:00-02:00",
    "UTC",
    "2026-11-23T00:00:00Z",
    false,
    "2026-11-23T01:00:00Z",
    "2026-11-23T02:01:00Z",
  ],
  // In a zone: its wall clock counts, and its day.
  ["22:00-06:00", "Europe/Berlin", "2026-11-21T20:59:59Z", false, "2026-11-21T21:00:00Z", "2026-11-22T05:01:00Z"],
  ["22:00-06:00", "Europe/Berlin", "2026-11-21T21:00:00Z", true, "2026-11-22T21:00:00Z", "2026-11-22T05:01:00Z"],
  ["22:00-06:00", "America/New_York", "2026-11-22T02:59:00Z", false, "2026-11-22T03:00:00Z", "2026-11-22T11:01:00Z"],
  [
    "Sun 00:00-Sun 23:59",
    "Pacific/Auckland",
    "2026-11-21T12:00:00Z",
    true,
    "2026-11-28T11:00:00Z",
    "2026-11-22T11:00:00Z",
  ],
  [
    "Sun 00:00-Sun 23:59",
    "Pacific/Auckland",
    "2026-11-22T12:00:00Z",
    false,
    "2026-11-28T11:00:00Z",
    "2026-11-29T11:00:00Z",
  ],
  ["12:00-12:30", "Asia/Kathmandu", "2026-11-22T06:15:00Z", true, "2026-11-23T06:15:00Z", "2026-11-22T06:46:00Z"],
  ["12:00-12:30", "Asia/Kathmandu", "2026-11-22T06:14:59Z", false, "2026-11-22T06:15:00Z", "2026-11-22T06:46:00Z"],
  // Summer time begins in Berlin (28 March 2027, 02:00 becomes 03:00): the skipped hour does not occur.
  ["02:00-02:59", "Europe/Berlin", "2027-03-28T00:30:00Z", false, "2027-03-29T00:00:00Z", "2027-03-29T01:00:00Z"],
  ["02:30-03:30", "Europe/Berlin", "2027-03-28T00:59:59Z", false, "2027-03-28T01:00:00Z", "2027-03-28T01:31:00Z"],
  ["01:00-04:00", "Europe/Berlin", "2027-03-28T00:00:00Z", true, "2027-03-28T23:00:00Z", "2027-03-28T02:01:00Z"],
  [
    "Sun 02:00-Sun 02:30",
    "Europe/Berlin",
    "2027-03-27T12:00:00Z",
    false,
    "2027-04-04T00:00:00Z",
    "2027-04-04T00:31:00Z",
  ],
  ["22:00-06:00", "Europe/Berlin", "2027-03-27T22:00:00Z", true, "2027-03-28T20:00:00Z", "2027-03-28T04:01:00Z"],
  // It ends on 25 October 2026 (03:00 becomes 02:00): the hour occurs twice, and so does a window in it.
  ["02:15-02:45", "Europe/Berlin", "2026-10-25T00:30:00Z", true, "2026-10-25T01:15:00Z", "2026-10-25T00:46:00Z"],
  ["02:15-02:45", "Europe/Berlin", "2026-10-25T01:00:00Z", false, "2026-10-25T01:15:00Z", "2026-10-25T01:46:00Z"],
  ["02:15-02:45", "Europe/Berlin", "2026-10-25T01:30:00Z", true, "2026-10-26T01:15:00Z", "2026-10-25T01:46:00Z"],
  ["01:00-04:00", "Europe/Berlin", "2026-10-24T23:00:00Z", true, "2026-10-26T00:00:00Z", "2026-10-25T03:01:00Z"],
  ["22:00-06:00", "Europe/Berlin", "2026-10-24T20:00:00Z", true, "2026-10-25T21:00:00Z", "2026-10-25T05:01:00Z"],
  // A zone whose clock changes by half an hour (Lord Howe, 4 October 2026: 02:00 becomes 02:30).
  ["02:00-02:20", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", false, "2026-10-04T15:00:00Z", "2026-10-04T15:21:00Z"],
];

test("the table has at least sixty cases", () => expect(cases.length).toBeGreaterThanOrEqual(60));

test.each(cases)("windowState() of [%s] in %s at %s", (windows, zone, at, active, opensAt, closesAt) => {
  const list = windows === "" ? [] : windows.split(",").map(windowOf);
  const state = windowState(list, zone, Date.parse(at));
  const text = (moment: number | undefined) => (moment === undefined ? null : rfc3339(moment));
  expect({ active: state.active, opensAt: text(state.opensAt), closesAt: text(state.closesAt) }).toEqual({
    active,
    opensAt,
    closesAt,
  });
});

const anyWindow = fc
  .record({
    days: fc.option(fc.record({ start: fc.constantFrom(...WEEKDAYS), end: fc.constantFrom(...WEEKDAYS) }), {
      nil: undefined,
    }),
    startHour: fc.integer({ min: 0, max: 23 }),
    startMinute: fc.integer({ min: 0, max: 59 }),
    endHour: fc.integer({ min: 0, max: 23 }),
    endMinute: fc.integer({ min: 0, max: 59 }),
  })
  .map((window): MaintenanceWindow => window);
const anyMoment = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 11, 31) });
const anyZone = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu");

test("windowState() is open until it says that it closes, and shut until it says that it opens", () => {
  fc.assert(
    fc.property(fc.array(anyWindow, { minLength: 1, maxLength: 3 }), anyZone, anyMoment, (windows, zone, at) => {
      const { active, opensAt, closesAt } = windowState(windows, zone, at);
      const change = active ? closesAt : opensAt;
      const isActive = (moment: number) => windowState(windows, zone, moment).active;
      if (change === undefined) return;
      expect(change).toBeGreaterThan(at);
      expect(isActive(change - MINUTE_MS / 2)).toBe(active);
      expect(isActive(change)).toBe(!active);
      expect(isActive(Math.floor((at + change) / 2))).toBe(active);
    }),
    { numRuns: 30 },
  );
});
