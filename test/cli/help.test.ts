import type { Command } from "commander";
import { expect, test } from "vitest";
import { program } from "../../src/cli/program.ts";
import { iab } from "./iab.ts";

/** The words that lead to each command, those that only hold others too. */
function wordsBelow(command: Command, words: readonly string[] = []): string[][] {
  return [[...words], ...command.commands.flatMap((each) => wordsBelow(each, [...words, each.name()]))];
}

const all = wordsBelow(program(() => async () => {})).map((words) => ({ words, title: ["iab", ...words].join(" ") }));

test.each(all)("$title --help says what it does, with an example", async ({ words }) => {
  const { exitCode, stdout, stderr } = await iab([...words, "--help"]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/\nExamples?[ :,]/);
  await expect(stdout).toMatchFileSnapshot(`../golden/help${words.map((word) => `-${word}`).join("")}.txt`);
});
