import { expect, test } from "vitest";
import { openLane } from "../../src/execute/lane.ts";

test("openLane() runs no more tasks at a time than it is wide, in the order they come, also past failures", async () => {
  const lane = openLane(2);
  const order: number[] = [];
  let busy = 0;
  let most = 0;
  const task = (number: number) => async () => {
    order.push(number);
    busy += 1;
    most = Math.max(most, busy);
    await Promise.resolve();
    busy -= 1;
    if (number === 1) throw new Error("first");
    return number;
  };
  const ended = await Promise.allSettled([1, 2, 3, 4, 5].map((number) => lane(task(number))));
  expect(order).toEqual([1, 2, 3, 4, 5]);
  expect(most).toBe(2);
  expect(ended.map(({ status }) => status)).toEqual(["rejected", ...Array(4).fill("fulfilled")]);
});
