import { expect, test } from "vitest";
import { isSmaller, sizeBytes } from "../../src/plan/size-bytes.ts";

test.each([
  ["1048576", 1048576],
  ["64MiB", 67108864],
  ["10GB", 1e10],
  ["1kB", 1000],
  ["2TiB", 2 * 1024 ** 4],
  ["5B", 5],
  ["50%", undefined],
  ["", undefined],
])("sizeBytes() reads %s", (text, bytes) => {
  expect(sizeBytes(text)).toBe(bytes);
});

test.each([
  ["10GiB", "20GiB", true],
  ["20GiB", "10GiB", false],
  ["10GiB", undefined, true],
  [undefined, "10GiB", false],
  [undefined, undefined, false],
])("isSmaller() compares a target's %s to a source's %s", (target, source, smaller) => {
  expect(isSmaller(target, source)).toBe(smaller);
});
