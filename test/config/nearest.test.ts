import { expect, test } from "vitest";
import { nearest } from "../../src/config/nearest.ts";

const known = ["healthchecksUrl", "gotifyUrl", "stop", "storage", "name", "mode", "uuid"];

const cases: [string, string | undefined][] = [
  ["healthcheckUrl", "healthchecksUrl"],
  ["gotify_url", "gotifyUrl"],
  ["STOP_", "stop"],
  ["stroage", "storage"],
  ["naem", "name"],
  ["mod", "mode"],
  ["retention", undefined],
  ["", undefined],
  ["xy", undefined],
];
test.each(cases)("nearest() takes '%s' for %s", (word, meant) => {
  expect(nearest(word, known)).toBe(meant);
});
