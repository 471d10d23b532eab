import { expect, test } from "vitest";
import { yamlText } from "../../src/render/yaml.ts";

const cases: { name: string; data: unknown; yaml: string }[] = [
  { name: "nothing", data: undefined, yaml: "null\n" },
  { name: "empty containers", data: { list: [], map: {} }, yaml: "list: []\nmap: {}\n" },
  { name: "nested maps and lists", data: { a: [{ b: 1, c: [2] }] }, yaml: "a:\n- b: 1\n  c:\n  - 2\n" },
  { name: "lists of lists", data: [[1, 2], [3]], yaml: "- - 1\n  - 2\n- - 3\n" },
  {
    name: "texts that would read as something else",
    data: ["yes", "12", "", "a: b", "null", "~", "-"],
    yaml: `\
- "yes"
- "12"
- ""
- "a: b"
- "null"
- "~"
- "-"
`,
  },
  { name: "texts with line breaks", data: { text: "a\nb" }, yaml: 'text: "a\\nb"\n' },
  { name: "what JSON leaves out", data: { a: undefined, b: true }, yaml: "b: true\n" },
];

for (const { name, data, yaml } of cases) {
  test(`yamlText() writes ${name}`, () => {
    expect(yamlText(data)).toBe(yaml);
  });
}
