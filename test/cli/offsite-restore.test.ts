import { expect, test } from "vitest";
import { iab } from "./iab.ts";

test("iab offsite restore --help shows both ways to restore", async () => {
  const { stdout } = await iab(["offsite", "restore", "--help"]);
  await expect(stdout).toMatchFileSnapshot("../golden/help-offsite-restore.txt");
});

const wrong = [
  { argv: ["offsite", "restore", "4afeed0c"], says: /say where to, with either --to or --to-incus/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to", "x", "--to-incus", "web1"], says: /either --to or --to-incus/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to-incus", ""], says: /--to-incus: expected a name/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to-incus", "web1", "--server", "third"], says: /--server/ },
];

test.each(wrong)("iab $argv is a wrong usage", async ({ argv, says }) => {
  const { exitCode, stderr } = await iab(argv);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(says);
});
