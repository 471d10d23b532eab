import { expect, test } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/model/time.ts";
import { agoText, countText, durationText, rateText, sizeText } from "../../src/render/amounts.ts";

test.each([
  [0, "0B"],
  [1023, "1023B"],
  [1024, "1KiB"],
  [1536, "1.5KiB"],
  [1024 ** 2 - 1, "1MiB"],
  [123 * 1024 ** 2, "123MiB"],
  [99.97 * 1024 ** 3, "100GiB"],
  [5 * 1024 ** 5, "5PiB"],
])("sizeText() writes %d as %s", (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});

test.each([
  [-5, "0s"],
  [0, "0s"],
  [430, "0.4s"],
  [9_990, "10s"],
  [59_999, "59s"],
  [MINUTE_MS, "1m"],
  [12 * MINUTE_MS + 5_000, "12m 5s"],
  [HOUR_MS + 1000, "1h"],
  [3 * DAY_MS + 4 * HOUR_MS, "3d 4h"],
])("durationText() writes %d as %s", (spanMs, text) => {
  expect(durationText(spanMs)).toBe(text);
});

test("agoText() tells the past from the future", () => {
  expect([agoText(0, DAY_MS), agoText(5 * MINUTE_MS, 0)]).toEqual(["1d ago", "in 5m"]);
});

test("countText() and rateText() write amounts", () => {
  expect([countText(1, "copy", "copies"), countText(0, "snapshot"), rateText(2048)]).toEqual([
    "1 copy",
    "0 snapshots",
    "2KiB/s",
  ]);
});
