import { expect, test } from "vitest";
import { fitted, progressText } from "../../src/render/progress-text.ts";
import { instance, job, plan, stateOf, stepOf } from "../plan/fixtures.ts";

const copy = stepOf(plan([job("web1")], stateOf({ instances: [instance("web1")] })), "copy");

test("progressText() tells how far a transfer is", () => {
  expect(progressText(copy, { bytes: 120 * 1024 ** 2, bytesPerSecond: 30 * 1024 ** 2, what: "s1" })).toBe(
    "copy web1: 120MiB, 30MiB/s, s1",
  );
  expect(progressText(copy, { bytes: 0, bytesPerSecond: undefined, what: undefined })).toBe("copy web1: 0B");
});

test("fitted() cuts what is too long for the terminal", () => {
  expect([fitted("abcdef", 6), fitted("abcdefg", 6)]).toEqual(["abcdef", "abc..."]);
});
