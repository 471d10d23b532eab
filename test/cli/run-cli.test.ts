import { expect, test } from "vitest";
import { iab } from "./iab.ts";

test("runCli() ends with 2 and names the nearest flag when a flag is unknown", async () => {
  const { exitCode, stderr, stdout } = await iab(["--verson"]);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/unknown option '--verson'[\s\S]*--version/);
  expect(stdout).toBe("");
});

test("runCli() prints the version on stdout and ends with 0, also with one dash", async () => {
  for (const flag of ["--version", "-version"]) {
    expect(await iab([flag])).toMatchObject({ exitCode: 0, stdout: "development", stderr: "" });
  }
});

test("runCli() refuses a value that is not among the choices", async () => {
  const { exitCode, stderr } = await iab(["--log-level", "loud", "--version=maybe"]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("--version=maybe");
});
