import { expect, test } from "vitest";
import { PLAIN } from "../../src/render/look.ts";
import { planJson } from "../../src/render/plan-json.ts";
import { planText } from "../../src/render/plan-text.ts";
import { jsonText } from "../../src/render/table.ts";
import { instance, job, plan, stateOf } from "../plan/fixtures.ts";
import { eventfulPlan } from "./scenario.ts";

test("planText() tells people everything that will happen and why", async () => {
  await expect(planText(eventfulPlan(), PLAIN)).toMatchFileSnapshot("../golden/plan.txt");
});

test("planText() goes no wider than it is told, where words allow", () => {
  const lines = planText(eventfulPlan(), { width: 72, colour: false }).split("\n");
  expect(lines.filter((line) => line.length > 72 && !line.startsWith("Run") && !/ deletions? /.test(line))).toEqual([]);
});

test("planText() in colour says the same as without", () => {
  const coloured = planText(eventfulPlan(), { ...PLAIN, colour: true });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape is what colours begin with
  expect(coloured.replace(/\u001b\[\d+m/g, "")).toBe(planText(eventfulPlan(), PLAIN));
  expect(coloured).not.toBe(planText(eventfulPlan(), PLAIN));
});

test("planText() and planJson() say where in a cluster a replica is, or will be made", () => {
  const cluster = { facts: { clustered: true }, members: [{ name: "two", status: "Online", groups: ["fast"] }] };
  const made = (targetMember: string) =>
    plan([job("web1", { targetMember })], stateOf({ instances: [instance("web1")] }, cluster));
  expect(planText(made("two"), PLAIN)).toContain("to backup:web1 on member two (pull) in full");
  expect(planText(made("@fast"), PLAIN)).toContain("to backup:web1 on a member of @fast (pull) in full");
  expect(jsonText(planJson(made("two")))).toContain('"member": "two"');
});

test("planText() of nothing to do says so", () => {
  expect(planText(plan([], stateOf({})), PLAIN)).toBe(
    "Run IAB_20261120-040000: prod to backup\n\n0 snapshots, 0 copies, 0 deletions on the source, 0 on the target, 0 left out, 0 warnings\n",
  );
});

test("planJson() tells programs the same", async () => {
  await expect(jsonText(planJson(eventfulPlan()))).toMatchFileSnapshot("../golden/plan.json");
});

test("planJson() holds nothing of an instance's configuration", () => {
  const secret = instance("web1", { config: { "environment.TOKEN": "s3cret" } });
  expect(jsonText(planJson(plan([job("web1")], stateOf({ instances: [secret] }))))).not.toContain("s3cret");
});
