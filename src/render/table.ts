import { yamlText } from "./yaml.ts";

/** One column of a list: its title, what stands in it, and which side it leans on. */
export type Column<Row> = {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: "left" | "right";
};

export const FORMATS = ["table", "json", "yaml", "csv"] as const;

/** The formats of the `incus` CLI that lists come in. */
export type Format = (typeof FORMATS)[number];

/** One result, told in each of the formats. */
export type Shapes = { readonly text: () => string; readonly data: () => unknown; readonly csv: () => string };

/** A result in the wanted format. */
export function inFormat(format: Format, { text, data, csv }: Shapes): string {
  switch (format) {
    case "table":
      return text();
    case "json":
      return jsonText(data());
    case "yaml":
      return yamlText(data());
    case "csv":
      return csv();
  }
}

/** A list in the wanted format: people get the columns, programs get the data as it is. */
export function listText<Row>(
  format: Format,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  data: unknown = rows,
): string {
  return inFormat(format, {
    text: () => tableText(columns, rows),
    data: () => data,
    csv: () => csvText(columns, rows),
  });
}

/** A table as the `incus` CLI draws it: ruled, titles in the middle, a line below each row. */
export function tableText<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row).split("\n")));
  const widths = columns.map(({ title }, at) =>
    Math.max(title.length, ...cells.flatMap((row) => (row[at] ?? []).map((line) => length(line)))),
  );
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const titles = columns.map(({ title }, at) => centred(title, widths[at] ?? 0));
  const body = cells.flatMap((row) => [...rowLines(row, columns, widths), rule]);
  return `${[rule, ruled(titles), rule, ...body].join("\n")}\n`;
}

/** Comma-separated values without a head, as the `incus` CLI writes them. */
export function csvText<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  return rows.map((row) => `${columns.map(({ cell }) => quoted(cell(row))).join(",")}\n`).join("");
}

/** Data for programs. */
export function jsonText(data: unknown): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

/** The lines of one row, of which there are as many as its tallest cell has. */
function rowLines<Row>(row: readonly string[][], columns: readonly Column<Row>[], widths: readonly number[]): string[] {
  const height = Math.max(...row.map((lines) => lines.length));
  return Array.from({ length: height }, (_, line) =>
    ruled(row.map((lines, at) => aligned(lines[line] ?? "", widths[at] ?? 0, columns[at]?.align))),
  );
}

function ruled(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function aligned(text: string, width: number, align: "left" | "right" = "left"): string {
  const blanks = " ".repeat(width - length(text));
  return align === "left" ? text + blanks : blanks + text;
}

function centred(text: string, width: number): string {
  const blanks = width - length(text);
  const before = Math.ceil(blanks / 2);
  return " ".repeat(before) + text + " ".repeat(blanks - before);
}

/** Colours take no room. */
function length(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape is what colours begin with
  return [...text.replace(/\u001b\[\d+m/g, "")].length;
}

function quoted(text: string): string {
  return /[",\n\r]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
