import { expect, test } from "vitest";
import { type Rate, Throttle } from "../../src/incus/throttle.ts";

function throttleAt(rate: Rate): { throttle: Throttle; pass(ms: number): void; now(): number } {
  let now = 1_000_000;
  const clock = { now: () => now };
  return {
    throttle: new Throttle(rate, clock),
    pass: (ms) => {
      now += ms;
    },
    now: () => now,
  };
}

test("pay() asks for no wait without a rate", () => {
  const { throttle } = throttleAt(() => undefined);
  expect(throttle.pay(1e12)).toBe(0);
});

test("pay() lets a burst pass and then asks to wait until the rate has caught up", () => {
  const { throttle, pass } = throttleAt(() => 1000);
  expect(throttle.pay(100)).toBe(0);
  expect(throttle.pay(400)).toBe(500);
  pass(300);
  expect(throttle.pay(0)).toBe(200);
  pass(200);
  expect(throttle.pay(0)).toBe(0);
});

test("pay() gives no credit for idle time", () => {
  const { throttle, pass } = throttleAt(() => 1000);
  pass(3_600_000);
  expect(throttle.pay(2000)).toBe(2000);
});

test("pay() keeps the rate over many messages of whatever size", () => {
  const { throttle, pass, now } = throttleAt(() => 50_000);
  const startedAt = now();
  for (let i = 0; i < 1000; i += 1) pass(throttle.pay(1 + (i % 97) * 100));
  const bytes = Array.from({ length: 1000 }, (_, i) => 1 + (i % 97) * 100).reduce((sum, size) => sum + size, 0);
  const rate = bytes / ((now() - startedAt) / 1000);
  expect(rate).toBeGreaterThan(49_000);
  expect(rate).toBeLessThan(51_000);
});

test("pay() follows a rate that changes, and forgets the debt when it is lifted", () => {
  let rate: number | undefined = 1;
  const { throttle } = throttleAt(() => rate);
  expect(throttle.pay(60)).toBe(60_000);
  rate = undefined;
  expect(throttle.pay(0)).toBe(0);
  rate = 1000;
  expect(throttle.pay(200)).toBe(200);
});
