/** Something wrong with the text of a configuration, and where. Nothing of the text is quoted: it holds secrets. */
export type TextProblem = { readonly line: number; readonly column: number; readonly message: string };

export type ReadJson = {
  /** Undefined where the text is not JSON. */
  readonly value: unknown;
  readonly problems: readonly TextProblem[];
  /** The line of each value, by its path in lower case. */
  readonly lines: ReadonlyMap<string, number>;
};

/** Deeper than any configuration goes, and shallow enough for the stack. */
const DEEPEST = 64;

/** Reads JSON as `JSON.parse()` does, but tells the line and column of what is wrong, and of keys that stand twice. */
export function parseJson(text: string): ReadJson {
  const cursor = openCursor(text.replace(/^\uFEFF/, ""));
  try {
    const value = readValue(cursor, []);
    skipSpace(cursor);
    if (cursor.at < cursor.text.length) fail(cursor, "the end of the file");
    return { value, problems: cursor.problems, lines: cursor.lines };
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { value: undefined, problems: [...cursor.problems, error.problem], lines: cursor.lines };
  }
}

/** A path as problems show it: `hosts[0].url`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${quotedKey(String(key))}`))
    .join("")
    .replace(/^\./, "");
}

function quotedKey(key: string): string {
  return /^[\w$*?-]+$/.test(key) ? key : JSON.stringify(key);
}

type Path = readonly (string | number)[];

type Cursor = {
  readonly text: string;
  at: number;
  readonly problems: TextProblem[];
  readonly lines: Map<string, number>;
  /** Where each line begins. */
  readonly lineStarts: readonly number[];
};

function openCursor(text: string): Cursor {
  const lineStarts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return { text, at: 0, problems: [], lines: new Map(), lineStarts };
}

/** What ends the reading of a text; never leaves this file. */
class Unreadable extends Error {
  readonly problem: TextProblem;

  constructor(problem: TextProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

function readValue(cursor: Cursor, path: Path): unknown {
  skipSpace(cursor);
  cursor.lines.set(pathText(path).toLowerCase(), positionOf(cursor, cursor.at).line);
  if (path.length > DEEPEST) fail(cursor, "less nesting");
  switch (cursor.text[cursor.at]) {
    case "{":
      return readObject(cursor, path);
    case "[":
      return readArray(cursor, path);
    case '"':
      return readString(cursor);
    default:
      return readWord(cursor);
  }
}

function readObject(cursor: Cursor, path: Path): unknown {
  const entries = new Map<string, { readonly value: unknown; readonly line: number }>();
  cursor.at++;
  if (takes(cursor, "}")) return {};
  do {
    skipSpace(cursor);
    const keyAt = cursor.at;
    if (cursor.text[keyAt] !== '"') fail(cursor, 'a key in "quotes"');
    const key = readString(cursor);
    const { line, column } = positionOf(cursor, keyAt);
    const first = entries.get(key);
    if (first !== undefined) {
      const message = `${pathText([...path, key])} stands twice, first in line ${first.line}`;
      cursor.problems.push({ line, column, message });
    }
    if (!takes(cursor, ":")) fail(cursor, "a colon behind the key");
    entries.set(key, { value: readValue(cursor, [...path, key]), line });
  } while (takes(cursor, ","));
  if (!takes(cursor, "}")) fail(cursor, "a comma or }");
  return Object.fromEntries([...entries].map(([key, { value }]) => [key, value]));
}

function readArray(cursor: Cursor, path: Path): unknown[] {
  const values: unknown[] = [];
  cursor.at++;
  if (takes(cursor, "]")) return values;
  do {
    values.push(readValue(cursor, [...path, values.length]));
  } while (takes(cursor, ","));
  if (!takes(cursor, "]")) fail(cursor, "a comma or ]");
  return values;
}

function readString(cursor: Cursor): string {
  const start = cursor.at;
  const [literal] = STRING.exec(cursor.text.slice(start, endOfLine(cursor))) ?? [];
  if (literal === undefined) fail(cursor, 'the " that ends this string in its line', "");
  cursor.at += literal.length;
  try {
    return String(JSON.parse(literal));
  } catch {
    // What JSON.parse() says quotes the string.
    return fail({ ...cursor, at: start }, "a string in which each \\ is written twice", "");
  }
}

const STRING = /^"(?:[^"\\]|\\.)*"/;

function endOfLine({ text, at }: Cursor): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

const WORD = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/y;

function readWord(cursor: Cursor): unknown {
  WORD.lastIndex = cursor.at;
  const [word] = WORD.exec(cursor.text) ?? [];
  if (word === undefined) fail(cursor, "a value");
  cursor.at += word.length;
  return JSON.parse(word);
}

/** Steps over the character if it is what comes next. */
function takes(cursor: Cursor, character: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== character) return false;
  cursor.at++;
  return true;
}

function skipSpace(cursor: Cursor): void {
  while (/[ \t\r\n]/.test(cursor.text.charAt(cursor.at))) cursor.at++;
}

function fail(cursor: Cursor, expected: string, found = foundText(cursor)): never {
  throw new Unreadable({ ...positionOf(cursor, cursor.at), message: `expected ${expected}${found}` });
}

/** Only a kind of character or none is told: what stands there may be part of a secret. */
function foundText({ text, at }: Cursor): string {
  const here = text.slice(at, at + 2);
  if (here === "") return ", the file ends before it";
  if (here === "//" || here === "/*") return ": JSON has no comments";
  if (/^[}\]]/.test(here) && /,\s*$/.test(text.slice(0, at))) return ": nothing stands behind the last comma";
  return /^[{}[\]:,"']/.test(here) ? ` and found ${here.charAt(0)}` : "";
}

function positionOf({ lineStarts }: Cursor, at: number): { line: number; column: number } {
  let [low, high] = [0, lineStarts.length];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((lineStarts[middle] ?? 0) <= at) low = middle;
    else high = middle;
  }
  return { line: low + 1, column: at - (lineStarts[low] ?? 0) + 1 };
}
