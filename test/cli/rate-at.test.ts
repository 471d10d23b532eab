import { expect, test, vi } from "vitest";
import { rateAt } from "../../src/cli/rate-at.ts";
import { readBandwidthByHour } from "../../src/config/amounts.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/model/time.ts";
import { systemClock } from "../../src/system/clock.ts";
import { copyOfVolume, openFakePair } from "../incus/fake-pair.ts";

const CONTENT_BYTES = 4 * 1024 ** 2;
const read = readBandwidthByHour({ "22:00-06:00": "unlimited", "*": "64KiB/s" });
const limit = "value" in read ? read.value : undefined;

/** The clock on the wall of this machine. */
function at(hour: number, minute: number): number {
  return new Date(2026, 10, 20, hour, minute).getTime();
}

/** A relay under a clock that stands still, and what passed so far. It is moved by the test alone. */
async function startRelay(startsAt: number) {
  const time = { now: startsAt };
  const rates: (number | undefined)[] = [];
  const onAsked = { do: () => {} };
  const pair = await openFakePair({
    source: { driver: "dir" },
    target: { driver: "dir" },
    clock: { now: () => time.now, sleep: systemClock.sleep },
    operationTimeoutMs: HOUR_MS,
    bytesPerSecond: () => {
      onAsked.do();
      const rate = rateAt(limit, time.now);
      rates.push(rate);
      return rate;
    },
  });
  const unit = pair.source.addVolume({ name: "data", content: "x".repeat(CONTENT_BYTES) });
  const start = async () => {
    await pair.copy(copyOfVolume(unit, { mode: "relay" }));
    return "done";
  };
  const isWhole = () => pair.target.digest(unit) === pair.source.digest(unit);
  return { pair, time, rates, onAsked, start, isWhole };
}

test("a relay under way at the hour at which its limit is lifted goes on as fast as it can", async () => {
  const { pair, time, rates, start, isWhole } = await startRelay(at(21, 59));
  const copied = start();
  // A clock that stands still never lets the rate catch up, so the transfer waits in its middle.
  await vi.waitFor(() => expect(rates.filter((rate) => rate === 64 * 1024).length).toBeGreaterThan(3), 5000);
  const passed = pair.bytesToTarget();
  expect(passed).toBeLessThan(CONTENT_BYTES / 4);
  time.now = at(22, 0);
  expect(await copied).toBe("done");
  expect(rates.at(-1)).toBeUndefined();
  expect(pair.bytesToTarget() - passed).toBeGreaterThan(CONTENT_BYTES / 2);
  expect(isWhole()).toBe(true);
});

test("a relay under way at the hour at which its limit begins is held to it from there on", async () => {
  const { pair, time, rates, onAsked, start, isWhole } = await startRelay(at(5, 59));
  onAsked.do = () => {
    // Some messages have passed, and most have not.
    if (pair.bytesToTarget() > CONTENT_BYTES / 8) time.now = Math.max(time.now, at(6, 0));
  };
  const copied = start();
  await vi.waitFor(() => expect(rates.slice(-3)).toEqual(Array(3).fill(64 * 1024)), 5000);
  expect(rates[0]).toBeUndefined();
  const passed = pair.bytesToTarget();
  expect(passed).toBeLessThan(CONTENT_BYTES / 2);
  // What was paid for is over, and one message more may pass; idle time earns nothing.
  time.now += MINUTE_MS;
  await vi.waitFor(() => expect(pair.bytesToTarget()).toBeGreaterThan(passed), 5000);
  expect(pair.bytesToTarget()).toBeLessThan(CONTENT_BYTES / 2);
  time.now = at(22, 0);
  expect(await copied).toBe("done");
  expect(isWhole()).toBe(true);
});
