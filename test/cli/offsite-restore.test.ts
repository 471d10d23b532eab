import { expect, test } from "vitest";
import { iab } from "./iab.ts";

const wrong = [
  { argv: ["offsite", "restore", "4afeed0c"], says: /say where to, with either --to or --to-incus/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to", "x", "--to-incus", "web1"], says: /either --to or --to-incus/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to", "x", "--pool", "local"], says: /go with --to-incus/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to", "x", "--ignore-space"], says: /go with --to-incus/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to-incus", "web1", "--no-owners"], says: /--no-owners goes with --to/ },
  { argv: ["offsite", "verify", "--pool", "local"], says: /go with --drill/ },
  { argv: ["offsite", "verify", "--ignore-space"], says: /--ignore-space go with --drill/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to-incus", ""], says: /--to-incus: expected a name/ },
  { argv: ["offsite", "restore", "4afeed0c", "--to-incus", "web1", "--server", "third"], says: /--server/ },
];

test.each(wrong)("iab $argv is a wrong usage", async ({ argv, says }) => {
  const { exitCode, stderr } = await iab(argv);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(says);
});
