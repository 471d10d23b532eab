import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { violations } from "./house-rules.ts";

const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join("src", name));

test("the house has source files to check", () => {
  expect(sources).toContain("src/main.ts");
});

test.each(sources)("%s keeps the rules of the house", (path) => {
  expect(violations(path, readFileSync(path, "utf8"))).toEqual([]);
});

const planted = [
  { name: "a room that imports another", path: "src/incus/a.ts", text: 'import { x } from "../plan/x.ts";' },
  { name: "a room that imports another dynamically", path: "src/kopia/a.ts", text: 'await import("../incus/x.ts");' },
  { name: "a type import across rooms", path: "src/execute/a.ts", text: 'import type { X } from "../incus/x.ts";' },
  { name: "model leaning on a room", path: "src/model/a.ts", text: 'import { x } from "../retention/x.ts";' },
  { name: "a clock in a pure room", path: "src/plan/a.ts", text: "export const now = Date.now();" },
  { name: "a Node module in a pure room", path: "src/render/a.ts", text: 'import { join } from "node:path";' },
  { name: "waiting in a pure room", path: "src/config/a.ts", text: "export const f = async () => await g();" },
  { name: "a TLS switch outside its home", path: "src/notify/a.ts", text: "const o = { rejectUnauthorized: false };" },
  { name: "a file that outgrew its room", path: "src/incus/a.ts", text: "export {};\n".repeat(301) },
  { name: "a barrel", path: "src/plan/index.ts", text: "export {};" },
  { name: "a drawer for everything", path: "src/utils/a.ts", text: "export {};" },
  { name: "a promise without an issue", path: "src/cli/a.ts", text: "// TODO later" },
];

test.each(planted)("violations() names $name", ({ path, text }) => {
  expect(violations(path, text)).toHaveLength(1);
});

test("violations() allows what the house allows", () => {
  expect(violations("src/plan/a.ts", 'import { x } from "../retention/x.ts";\n// Date.now() is not used here')).toEqual(
    [],
  );
  expect(violations("src/cli/a.ts", 'import { x } from "../incus/x.ts";')).toEqual([]);
  expect(violations("src/incus/tls.ts", "const o = { rejectUnauthorized: false };")).toEqual([]);
});
