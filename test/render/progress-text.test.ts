import { expect, test } from "vitest";
import { fitted, progressText } from "../../src/render/progress-text.ts";
import { instance, job, plan, stateOf, stepOf } from "../plan/fixtures.ts";

const copy = stepOf(plan([job("web1")], stateOf({ instances: [instance("web1")] })), "copy");

const MIB = 1024 ** 2;
const unknown = { totalBytes: undefined, bytesPerSecond: undefined, what: undefined };

test("progressText() tells how far a transfer is", () => {
  expect(progressText(copy, { ...unknown, bytes: 120 * MIB, bytesPerSecond: 30 * MIB, what: "s1" })).toBe(
    "copy web1: 120MiB, 30MiB/s, s1",
  );
  expect(progressText(copy, { ...unknown, bytes: 0 })).toBe("copy web1: 0B");
});

test("progressText() tells of how much, until more has passed than that", () => {
  const of = (bytes: number) => progressText(copy, { ...unknown, bytes, totalBytes: 2048 * MIB, bytesPerSecond: MIB });
  expect(of(120 * MIB)).toBe("copy web1: 120MiB of about 2GiB, 1MiB/s");
  expect(of(2048 * MIB)).toBe("copy web1: 2GiB of about 2GiB, 1MiB/s");
  expect(of(2048 * MIB + 1)).toBe("copy web1: 2GiB, 1MiB/s");
});

test("fitted() cuts what is too long for the terminal", () => {
  expect([fitted("abcdef", 6), fitted("abcdefg", 6)]).toEqual(["abcdef", "abc..."]);
});
