import { AgentError } from "../model/errors.ts";
import { KEEP_ALL, type Policy, type Rule } from "../model/policy.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../model/time.ts";

/** What a policy's text is refused for, and at which character, counted from 0. */
export type PolicyProblem = { readonly text: string; readonly at: number; readonly message: string };

type Reading = { readonly policy: Policy } | { readonly problem: PolicyProblem };

/** Months and years are not those of the calendar: 30 and 365 days. */
const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["s", SECOND_MS],
  ["min", MINUTE_MS],
  ["h", HOUR_MS],
  ["d", DAY_MS],
  ["w", 7 * DAY_MS],
  ["m", 30 * DAY_MS],
  ["y", 365 * DAY_MS],
]);

const UNITS_TEXT = "s, min, h, d, w, m (30 days), y (365 days)";

/** The longest span that dates can still be counted with. */
const LONGEST_MS = 8.64e15;

/** Reads a policy such as `6,1h2d,1d2w`, for a caller who has it from the command line. */
export function parsePolicy(text: string): Policy {
  const read = readPolicy(text);
  if ("policy" in read) return read.policy;
  throw new AgentError("usage", `Cannot read the policy: ${policyProblemText(read.problem)}`, {
    hint: "A policy is an optional number and rules of a period and a time to live, as in 6,1h2d,1d2w",
  });
}

/** Reads a policy, and tells the first thing that is wrong with it. */
export function readPolicy(text: string): Reading {
  if (text.trim() === "") return { policy: KEEP_ALL };
  const rules: Rule[] = [];
  const [first, ...others] = elementsOf(text);
  const count = first !== undefined && /^\d+$/.test(first.text) ? first : undefined;
  for (const element of count === undefined && first !== undefined ? [first, ...others] : others) {
    const read = readRule(element, rules);
    if ("message" in read) return { problem: { text, ...read } };
    rules.push(read);
  }
  const keepNewest = Number(count?.text ?? 0);
  const message = countProblem(keepNewest, rules.length);
  if (message !== undefined) return { problem: { text, at: count?.start ?? 0, message } };
  return { policy: { keepNewest, rules, text: text.trim() } };
}

/** The problem in words, with the policy below it and a caret under the character. */
export function policyProblemText({ text, at, message }: PolicyProblem): string {
  const shown = text.replace(/\p{Cc}/gu, " ");
  const column = [...text.slice(0, at)].length;
  return `${message}\n    ${shown}\n    ${" ".repeat(column)}^`;
}

/** A span of time as policies write it, `36h` or `400d`; undefined for anything else, zero too. */
export function parseSpan(text: string): number | undefined {
  const [, amount = "", unit = ""] = /^(\d+)([a-z]+)$/i.exec(text.trim()) ?? [];
  const unitMs = UNIT_MS.get(unit.toLowerCase());
  if (unitMs === undefined) return undefined;
  const spanMs = Number(amount) * unitMs;
  return spanMs > 0 && spanMs <= LONGEST_MS ? spanMs : undefined;
}

/** What stands between two commas, without the spaces around it. */
type Element = { readonly start: number; readonly text: string };

type Problem = Omit<PolicyProblem, "text">;

function elementsOf(text: string): Element[] {
  const starts = [0, ...[...text.matchAll(/,/g)].map((comma) => comma.index + 1)];
  return text.split(",").map((part, index) => {
    const leading = part.length - part.trimStart().length;
    return { start: (starts[index] ?? 0) + leading, text: part.trim() };
  });
}

/** A count of zero is what is meant by no count, as long as there are rules. */
function countProblem(keepNewest: number, rules: number): string | undefined {
  if (!Number.isSafeInteger(keepNewest)) return "the number of snapshots to keep is too large";
  if (keepNewest === 0 && rules === 0) return "0 would keep nothing: an empty policy keeps everything";
  return undefined;
}

function readRule({ start, text }: Element, before: readonly Rule[]): Rule | Problem {
  const [, periodDigits = "", periodUnit = "", ttlDigits = "", ttlUnit = "", rest = ""] = RULE.exec(text) ?? [];
  const period = `${periodDigits}${periodUnit}`;
  const periodMs = spanMs(periodDigits, periodUnit);
  const ttlAt = start + period.length;
  const ttlMs = spanMs(ttlDigits, ttlUnit);
  const restAt = ttlAt + ttlDigits.length + ttlUnit.length;
  const problem =
    shapeProblem(start, text, periodDigits) ??
    spanProblem(start, periodDigits, periodUnit, rest) ??
    ttlProblem(ttlAt, period, ttlDigits, rest) ??
    spanProblem(ttlAt, ttlDigits, ttlUnit, rest) ??
    (rest === "" ? undefined : { at: restAt, message: `unexpected ${quoted(rest)}: a comma stands between rules` }) ??
    orderProblem(start, periodMs, ttlMs, period) ??
    repeatProblem(start, periodMs, period, before);
  return problem ?? { periodMs, ttlMs, text };
}

const RULE = /^(\d*)(\p{L}*)(\d*)(\p{L}*)(.*)$/su;

function spanMs(digits: string, unit: string): number {
  return Number(digits) * (UNIT_MS.get(unit.toLowerCase()) ?? 0);
}

function shapeProblem(at: number, text: string, digits: string): Problem | undefined {
  if (text === "") return { at, message: "an element is empty: a comma too many" };
  if (digits === "") return { at, message: `unexpected ${quoted(text)}: a rule starts with a number, as in 1h2d` };
  if (digits !== text) return undefined;
  return { at, message: `${text} is not a rule: the number of snapshots to keep stands first` };
}

function spanProblem(at: number, digits: string, unit: string, rest: string): Problem | undefined {
  const unitAt = at + digits.length;
  if (unit === "" && rest !== "") return { at: unitAt, message: `unexpected ${quoted(rest)}: ${digits} needs a unit` };
  if (unit === "") return { at: unitAt, message: `${digits} needs a unit: ${UNITS_TEXT}` };
  const unitMs = UNIT_MS.get(unit.toLowerCase());
  if (unitMs === undefined) return { at: unitAt, message: `unknown unit "${unit}": use ${UNITS_TEXT}` };
  if (Number(digits) === 0) return { at, message: `${digits}${unit} is no time at all` };
  if (spanMs(digits, unit) > LONGEST_MS) return { at, message: `${digits}${unit} is longer than time can be counted` };
  return undefined;
}

function ttlProblem(at: number, period: string, digits: string, rest: string): Problem | undefined {
  if (digits !== "") return undefined;
  if (rest !== "") return { at, message: `unexpected ${quoted(rest)} behind ${period}` };
  return { at, message: `${period} says how often, but not for how long, as in ${period}2y` };
}

function orderProblem(at: number, periodMs: number, ttlMs: number, period: string): Problem | undefined {
  if (periodMs <= ttlMs) return undefined;
  return { at, message: `the period ${period} is longer than the time it is kept for` };
}

function repeatProblem(at: number, periodMs: number, period: string, before: readonly Rule[]): Problem | undefined {
  const same = before.find((rule) => rule.periodMs === periodMs);
  return same && { at, message: `the period ${period} has a rule already: ${same.text}` };
}

/** The first character of what should not be there. */
function quoted(text: string): string {
  return JSON.stringify(String.fromCodePoint(text.codePointAt(0) ?? 0));
}
