import { expect, test } from "vitest";
import { readBandwidthByHour, readDuration, readRate, readSize } from "../../src/config/amounts.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/model/time.ts";

const durations: [string, number][] = [
  ["6h", 6 * HOUR_MS],
  ["90min", 90 * MINUTE_MS],
  ["1h30min", 90 * MINUTE_MS],
  ["30s", 30_000],
  ["2D", 2 * DAY_MS],
];
test.each(durations)("readDuration() reads %s", (text, value) => {
  expect(readDuration(text)).toEqual({ value });
});

test.each(["", "6", "h", "-1h", "1.5h", "1h 30min", "30m", "1w", "0h", "25d"])(
  "readDuration() refuses '%s'",
  (text) => {
    expect(readDuration(text)).toHaveProperty("problem");
  },
);

const sizes: [string, number][] = [
  ["500MiB", 500 * 1024 ** 2],
  ["1.5 GiB", 1.5 * 1024 ** 3],
  ["10kB", 10_000],
  ["1TB", 1e12],
  ["512B", 512],
  ["1gib", 1024 ** 3],
];
test.each(sizes)("readSize() reads %s", (text, value) => {
  expect(readSize(text)).toEqual({ value });
});

test.each(["", "500", "0B", "0.1B", "1XB", "9999999TB", "-1B", "1 000B"])("readSize() refuses '%s'", (text) => {
  expect(readSize(text)).toHaveProperty("problem");
});

const rates: [string, number | undefined][] = [
  ["50MiB/s", 50 * 1024 ** 2],
  ["100Mbit/s", 12_500_000],
  ["1GB/s", 1e9],
  ["8bit/s", 1],
  ["unlimited", undefined],
];
test.each(rates)("readRate() reads %s", (text, value) => {
  expect(readRate(text)).toEqual({ value });
});

test.each(["", "50", "50MiB", "0MiB/s", "1bit/s", "50MiB/h", "Unlimited?"])("readRate() refuses '%s'", (text) => {
  expect(readRate(text)).toHaveProperty("problem");
});

test("readBandwidthByHour() reads spans of the day, over midnight and to its end", () => {
  expect(readBandwidthByHour({ "22:00-06:00": "unlimited", "6:00-7:30": "1kB/s", "20:00-22:00": "2kB/s" })).toEqual({
    value: {
      windows: [
        { from: 1320, to: 360, bytesPerSecond: undefined },
        { from: 360, to: 450, bytesPerSecond: 1000 },
        { from: 1200, to: 1320, bytesPerSecond: 2000 },
      ],
      otherwise: undefined,
    },
  });
  expect(readBandwidthByHour({ "00:00-24:00": "1kB/s" })).toHaveProperty("value");
});

const spans = ["22:00-22:00", "24:00-06:00", "22:60-23:00", "1-2", "22:00-06:00,", "**"];
test.each(spans)("readBandwidthByHour() refuses the span '%s'", (span) => {
  expect(readBandwidthByHour({ [span]: "1kB/s" })).toHaveProperty("problem");
});

const overlaps = [
  ["22:00-06:00", "05:59-07:00"],
  ["00:00-24:00", "12:00-13:00"],
  ["22:00-06:00", "23:00-01:00"],
];
test.each(overlaps)("readBandwidthByHour() refuses %s beside %s", (one, other) => {
  expect(readBandwidthByHour({ [one]: "1kB/s", [other]: "1kB/s" })).toHaveProperty("problem");
});
