/** What the text will be looked at on. */
export type Look = { readonly width: number; readonly colour: boolean };

/** A look for files, pipes and tests. */
export const PLAIN: Look = { width: 120, colour: false };

const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

export type Paint = keyof typeof CODES;

/** The text in a colour or weight, where the look has any. */
export function paint(text: string, how: Paint, { colour }: Look): string {
  if (!colour || text === "") return text;
  const [on, off] = CODES[how];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

/** Breaks a text into lines of at most so many characters, at blanks where there are any. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** A text behind a head of its own: lines that do not fit go on below where the text began. */
export function hanging(head: string, text: string, { width }: Look): string[] {
  const indent = " ".repeat(head.length);
  const [first = "", ...rest] = wrapped(text, Math.max(width - head.length, 20));
  return [`${head}${first}`, ...rest.map((line) => `${indent}${line}`)];
}
