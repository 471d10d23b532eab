import { expect, test } from "vitest";
import { CONFIG, stage } from "./stage.ts";

test("iab plan warns of a policy for a name that is not replicated, and ends with 7 where warnings are to count", async () => {
  const projects = { default: { instances: { byName: { wbe1: "3" } } } };
  const { run } = stage({ ...CONFIG, retention: { hosts: { source: { default: "2", projects } } } });
  const { exitCode, stdout } = await run("plan", "-f", "json");
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout).warnings).toMatchObject([
    {
      code: "policy.unused",
      text: expect.stringContaining("byName.wbe1: none of the instances replicated has that name"),
    },
  ]);
  expect(await run("plan", "--strict")).toMatchObject({ exitCode: 7, stdout: expect.stringContaining("byName.wbe1") });
});
