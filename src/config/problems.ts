import type { z } from "zod";
import { pathText } from "./parse-json.ts";

type Issue = z.core.$ZodIssue;

/** Our words for what zod finds. None of them quotes a value: it may be a secret. */
export function wording(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return issue.input === undefined ? "is missing" : `expected ${TYPES[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return issue.input === undefined
        ? "is missing"
        : `expected ${issue.values.filter(isShown).map(quoted).join(" or ")}`;
    case "invalid_union":
      return "is of the wrong kind";
    default:
      return undefined;
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list in [ ]",
  object: "an object in { }",
  record: "an object in { }",
};

function isShown(value: unknown): boolean {
  return value !== "";
}

function quoted(value: unknown): string {
  return `"${String(value)}"`;
}

/** Each problem with its path and line, in the order of the file. */
export function problemsOf(error: z.ZodError | undefined, lines: ReadonlyMap<string, number>): string[] {
  return (error?.issues ?? [])
    .flatMap((issue) => within(issue, []))
    .map(({ path, message }) => ({ path, message, line: lineOf(path, lines) }))
    .sort((a, b) => a.line - b.line)
    .map(({ path, message, line }) => `${[pathText(path), `line ${line}`].filter(Boolean).join(", ")}: ${message}`);
}

type Problem = { readonly path: readonly PropertyKey[]; readonly message: string };

/** Of the kinds that a value might have had, the one is taken that was meant: of which it got the furthest. */
function within(issue: Issue, above: readonly PropertyKey[]): Problem[] {
  const path = [...above, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    const messages = issue.message.split("\n");
    return issue.keys.map((key, index) => ({ path: [...path, key], message: messages[index] ?? "unknown key" }));
  }
  const inner = issue.code === "invalid_union" ? issue.errors.find(reachesInside) : undefined;
  return inner === undefined ? [{ path, message: issue.message }] : inner.flatMap((one) => within(one, path));
}

function reachesInside(issues: readonly Issue[]): boolean {
  return issues.every(({ path }) => path.length > 0);
}

/** The line of the value, or of the nearest thing around it that stands in the file. */
function lineOf(path: readonly PropertyKey[], lines: ReadonlyMap<string, number>): number {
  for (let length = path.length; length > 0; length--) {
    const line = lines.get(pathText(path.slice(0, length)).toLowerCase());
    if (line !== undefined) return line;
  }
  return 1;
}
