import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { AgentError } from "../../src/model/errors.ts";

const example = JSON.parse(readFileSync("config.json.example", "utf8"));
example.offsite.repository_password = "hunter2";
example.offsite.backend.s3.secret_key = "hunter2";
example.iab.gotifyUrl = "https://gotify.example/message?token=hunter2";

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path): Path[] {
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(Object(value));
  const below = typeof value === "object" ? entries.flatMap(([key, inner]) => pathsOf(inner, [...path, key])) : [];
  return [path, ...below];
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value)) return value.map((one, index) => (index === key ? replaced(one, rest, by) : one));
  const entries = Object.entries(Object(value));
  return Object.fromEntries(entries.map(([name, one]) => [name, name === key ? replaced(one, rest, by) : one]));
}

const paths = pathsOf(example, []);

test("parseConfig() refuses whatever does not fit with config.invalid, and shows no secret of the rest", () => {
  const anything = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom("", " ", "0", "-1", "*", "/", "a\nb", null, {}, []),
  );
  fc.assert(
    fc.property(fc.constantFrom(...paths), anything, (path, by) => {
      try {
        expect(JSON.stringify(parseConfig(JSON.stringify(replaced(example, path, by))))).not.toContain("hunter2");
      } catch (error) {
        expect(error).toBeInstanceOf(AgentError);
        expect(error).toMatchObject({ code: "config.invalid", message: expect.not.stringContaining("hunter2") });
      }
    }),
    { numRuns: 400 },
  );
});

test("parseConfig() shows no secret of a text that breaks off or has something put into it", () => {
  const text = JSON.stringify(example, undefined, 2);
  fc.assert(
    fc.property(fc.nat(text.length), fc.string({ maxLength: 3 }), fc.boolean(), (at, put, breaksOff) => {
      try {
        parseConfig(text.slice(0, at) + put + (breaksOff ? "" : text.slice(at)));
      } catch (error) {
        expect(error).toMatchObject({ code: "config.invalid", message: expect.not.stringContaining("hunter2") });
      }
    }),
    { numRuns: 200 },
  );
});
