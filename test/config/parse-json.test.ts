import fc from "fast-check";
import { expect, test } from "vitest";
import { parseJson, pathText } from "../../src/config/parse-json.ts";

test("parseJson() reads what JSON.parse() reads", () => {
  const layouts = fc.constantFrom(undefined, 2, "\t");
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), layouts, (value, layout) => {
      const text = JSON.stringify(value, undefined, layout);
      expect(parseJson(text)).toMatchObject({ value: JSON.parse(text), problems: [] });
    }),
  );
});

test("parseJson() refuses what JSON.parse() refuses, without throwing", () => {
  const broken = fc
    .tuple(fc.jsonValue({ maxDepth: 3 }), fc.nat(), fc.string({ maxLength: 2 }))
    .map(([value, at, put]) => {
      const text = JSON.stringify(value);
      const cut = at % (text.length + 1);
      return text.slice(0, cut) + put + text.slice(cut + 1);
    });
  fc.assert(
    fc.property(broken, (text) => {
      const { value, problems } = parseJson(text);
      const twice = problems.length > 0 && problems.every(({ message }) => message.includes("stands twice"));
      expect(problems.length === 0 || twice).toBe(isJson(text));
      if (problems.length === 0) expect(value).toEqual(JSON.parse(text));
    }),
    { numRuns: 1000 },
  );
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test("parseJson() knows the line of every value", () => {
  const { lines } = parseJson('{\n "a": [\n  1,\n  {"B c":\n 2}],\r\n "d": 3 }');
  expect(Object.fromEntries(lines)).toEqual({ "": 1, a: 2, "a[0]": 3, "a[1]": 4, 'a[1]."b c"': 5, d: 6 });
});

test("parseJson() does not take a key for the prototype", () => {
  const { value } = parseJson('{"__proto__": {"admin": true}}');
  expect(Object.hasOwn(Object(value), "__proto__")).toBe(true);
  expect(Object(value).admin).toBeUndefined();
});

test("parseJson() reads a configuration of 5 000 instances at once", () => {
  const instances = Array.from({ length: 5_000 }, (_, index) => ({ name: `web${index}`, storage: "local" }));
  const text = JSON.stringify({ projects: [{ instances }] }, undefined, 2);
  expect(parseJson(text).lines.get("projects[0].instances[4999].name")).toBe(5 + 4_999 * 4 + 1);
});

test("pathText() spells a path as a program would", () => {
  expect(pathText([])).toBe("");
  expect(pathText(["hosts", 0, "url"])).toBe("hosts[0].url");
  expect(pathText(["byName", "a.b"])).toBe('byName."a.b"');
});
