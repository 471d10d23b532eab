import { expect, test } from "vitest";
import { globMatches, globPattern, isGlob } from "../../src/model/glob.ts";

const cases: { glob: string; matches: string[]; not: string[] }[] = [
  { glob: "web*", matches: ["web", "web1", "web-a"], not: ["aweb", "we"] },
  { glob: "*", matches: ["a", "b.c"], not: [] },
  { glob: "db?", matches: ["db1"], not: ["db", "db12"] },
  { glob: "db[1-3]", matches: ["db1", "db3"], not: ["db4", "db"] },
  { glob: "db[!1]", matches: ["db2"], not: ["db1"] },
  { glob: "a.b", matches: ["a.b"], not: ["axb"] },
  { glob: "a[", matches: ["a["], not: ["a"] },
];

for (const { glob, matches, not } of cases) {
  test(`globMatches() knows what ${glob} stands for`, () => {
    expect(matches.filter((name) => !globMatches(glob, name))).toEqual([]);
    expect(not.filter((name) => globMatches(glob, name))).toEqual([]);
  });
}

test("isGlob() tells a plain name from a glob", () => {
  expect(["web1", "a-b.c_d"].filter(isGlob)).toEqual([]);
  expect(["*", "a?", "[ab]"].filter(isGlob)).toHaveLength(3);
});

test("globPattern() calls a range that runs backwards a wrong usage", () => {
  expect(() => globPattern("web[9-1]")).toThrow(expect.objectContaining({ code: "usage" }));
});
