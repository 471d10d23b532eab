import { expect, test } from "vitest";
import { type Column, listText, tableText } from "../../src/render/table.ts";

type Row = { readonly name: string; readonly count: number };

const columns: Column<Row>[] = [
  { title: "NAME", cell: ({ name }) => name },
  { title: "SNAPSHOTS", cell: ({ count }) => String(count), align: "right" },
];
const rows: Row[] = [
  { name: "default/web1", count: 12 },
  { name: 'a "b", c', count: 0 },
];

test("tableText() draws a table as the incus CLI does", () => {
  expect(tableText(columns, rows)).toBe(`\
+--------------+-----------+
|     NAME     | SNAPSHOTS |
+--------------+-----------+
| default/web1 |        12 |
+--------------+-----------+
| a "b", c     |         0 |
+--------------+-----------+
`);
});

test("tableText() gives every line of a cell a line of the table, and no room to colours", () => {
  expect(tableText([{ title: "A", cell: (row: string) => row }], ["x\n\u001b[31myz\u001b[39m"])).toBe(
    "+----+\n|  A |\n+----+\n| x  |\n| \u001b[31myz\u001b[39m |\n+----+\n",
  );
});

test("tableText() of nothing is the head alone", () => {
  expect(tableText(columns, [])).toBe("+------+-----------+\n| NAME | SNAPSHOTS |\n+------+-----------+\n");
});

test("listText() quotes in CSV what needs it, and writes no head", () => {
  expect(listText("csv", columns, rows)).toBe('default/web1,12\n"a ""b"", c",0\n');
});

test("listText() gives programs the data and not the columns", () => {
  expect(JSON.parse(listText("json", columns, rows))).toEqual(rows);
  expect(JSON.parse(listText("json", columns, rows, { version: 1 }))).toEqual({ version: 1 });
  expect(listText("yaml", columns, rows)).toBe(
    '- name: default/web1\n  count: 12\n- name: "a \\"b\\", c"\n  count: 0\n',
  );
});
