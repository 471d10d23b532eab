import { expect, test } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../../src/model/time.ts";
import { parsePolicy, parseSpan, policyProblemText, readPolicy } from "../../src/retention/parse-policy.ts";

const WEEK_MS = 7 * DAY_MS;

test("parsePolicy() reads a count and rules, each rule as it is written", () => {
  expect(parsePolicy(" 6, 1h2d ,1D2W ")).toEqual({
    keepNewest: 6,
    rules: [
      { periodMs: HOUR_MS, ttlMs: 2 * DAY_MS, text: "1h2d" },
      { periodMs: DAY_MS, ttlMs: 2 * WEEK_MS, text: "1D2W" },
    ],
    text: "6, 1h2d ,1D2W",
  });
});

const units = [
  { text: "1s2s", periodMs: SECOND_MS },
  { text: "1min2min", periodMs: MINUTE_MS },
  { text: "1h2h", periodMs: HOUR_MS },
  { text: "1d2d", periodMs: DAY_MS },
  { text: "1w2w", periodMs: WEEK_MS },
  { text: "1m2m", periodMs: 30 * DAY_MS },
  { text: "1y2y", periodMs: 365 * DAY_MS },
  { text: "1Y2Y", periodMs: 365 * DAY_MS },
  { text: "01d002d", periodMs: DAY_MS },
];
test.each(units)("parsePolicy() knows the units of $text", ({ text, periodMs }) => {
  expect(parsePolicy(text).rules).toEqual([{ periodMs, ttlMs: 2 * periodMs, text }]);
});

const accepted = [
  { text: "3", keepNewest: 3, rules: 0 },
  { text: "  ", keepNewest: 0, rules: 0 },
  { text: "", keepNewest: 0, rules: 0 },
  { text: "0,1h1d", keepNewest: 0, rules: 1 },
  { text: "1d1d", keepNewest: 0, rules: 1 },
  { text: "10,1min1h,1h1d,1d1w,1w1m,1m1y,1y10y", keepNewest: 10, rules: 6 },
];
test.each(accepted)("parsePolicy() accepts '$text'", ({ text, keepNewest, rules }) => {
  const policy = parsePolicy(text);
  expect([policy.keepNewest, policy.rules.length, policy.text]).toEqual([keepNewest, rules, text.trim()]);
});

const UNITS = "s, min, h, d, w, m (30 days), y (365 days)";
/** The caret is written below the policy, as the user sees it. */
const refused: [policy: string, caret: string, message: string][] = [
  ["3,5", "  ^", "5 is not a rule: the number of snapshots to keep stands first"],
  ["1d2w,3", "     ^", "3 is not a rule: the number of snapshots to keep stands first"],
  ["1d2w,1d1w", "     ^", "the period 1d has a rule already: 1d2w"],
  ["7d2m,1w3m", "     ^", "the period 1w has a rule already: 7d2m"],
  ["24h2w, 1d2w", "       ^", "the period 1d has a rule already: 24h2w"],
  ["2d1d", "^", "the period 2d is longer than the time it is kept for"],
  ["3,1w6d", "  ^", "the period 1w is longer than the time it is kept for"],
  ["1x1d", " ^", `unknown unit "x": use ${UNITS}`],
  ["1d1x", "   ^", `unknown unit "x": use ${UNITS}`],
  ["6,1mo1y", "   ^", `unknown unit "mo": use ${UNITS}`],
  ["0d1w", "^", "0d is no time at all"],
  ["1d0w", "  ^", "0w is no time at all"],
  ["00h1d", "^", "00h is no time at all"],
  ["0", "^", "0 would keep nothing: an empty policy keeps everything"],
  ["abc", "^", 'unexpected "a": a rule starts with a number, as in 1h2d'],
  ["-3", "^", 'unexpected "-": a rule starts with a number, as in 1h2d'],
  ["3,,1d2w", "  ^", "an element is empty: a comma too many"],
  [",,2", "^", "an element is empty: a comma too many"],
  ["3,", "  ^", "an element is empty: a comma too many"],
  ["3, ,1d2w", "   ^", "an element is empty: a comma too many"],
  ["1d", "  ^", "1d says how often, but not for how long, as in 1d2y"],
  ["1d 2w", "  ^", 'unexpected " " behind 1d'],
  ["1d2", "   ^", `2 needs a unit: ${UNITS}`],
  ["1.5h2d", " ^", 'unexpected ".": 1 needs a unit'],
  ["1 h2d", " ^", 'unexpected " ": 1 needs a unit'],
  ["1h2d;1d2w", "    ^", 'unexpected ";": a comma stands between rules'],
  ["1h2d1d", "    ^", 'unexpected "1": a comma stands between rules'],
  ["99999999999999999999", "^", "the number of snapshots to keep is too large"],
  ["1d99999999999999999999y", "  ^", "99999999999999999999y is longer than time can be counted"],
  ["1m999999999d,1d1w", "  ^", "999999999d is longer than time can be counted"],
  ["1h2d,🙂", "     ^", 'unexpected "🙂": a rule starts with a number, as in 1h2d'],
];
test.each(refused)("readPolicy() points at what is wrong in '%s'", (text, caret, message) => {
  const read = readPolicy(text);
  expect("problem" in read && policyProblemText(read.problem)).toBe(`${message}\n    ${text}\n    ${caret}`);
});

test("parsePolicy() throws a usage error, which a policy on the command line is", () => {
  expect(() => parsePolicy("1h2x")).toThrow(
    expect.objectContaining({
      code: "usage",
      message: expect.stringContaining('Cannot read the policy: unknown unit "x"'),
    }),
  );
});

test("policyProblemText() keeps the caret in place behind characters of two code units and control characters", () => {
  expect(policyProblemText({ text: "🙂\n,x", at: 4, message: "no" })).toBe("no\n    🙂 ,x\n       ^");
});

const spans: [string, number | undefined][] = [
  ["400d", 400 * DAY_MS],
  ["1H", HOUR_MS],
  ["15min", 15 * MINUTE_MS],
  ["0d", undefined],
  ["d", undefined],
  ["1d2h", undefined],
  ["99999999999y", undefined],
  ["", undefined],
];
test.each(spans)("parseSpan() reads '%s' as %s ms", (text, spanMs) => {
  expect(parseSpan(text)).toBe(spanMs);
});
