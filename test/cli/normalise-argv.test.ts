import { Command } from "commander";
import { expect, test } from "vitest";
import { normaliseArgv } from "../../src/cli/normalise-argv.ts";

const root = new Command("iab")
  .option("--log-level <level>")
  .option("-f, --format <format>")
  .addCommand(new Command("run").option("--dryRun").option("--iOSfix").option("--no-iOSfix").option("--dryRunCopy"));

const cases: { name: string; given: string[]; becomes: string[] }[] = [
  { name: "doubles the dash of a long flag", given: ["-dryRun"], becomes: ["--dryRun"] },
  { name: "keeps two dashes", given: ["--dryRun"], becomes: ["--dryRun"] },
  { name: "keeps a value", given: ["-log-level=debug"], becomes: ["--log-level=debug"] },
  { name: "keeps a value that stands apart", given: ["-log-level", "debug"], becomes: ["--log-level", "debug"] },
  { name: "reads =true behind a boolean flag", given: ["--iOSfix=true"], becomes: ["--iOSfix"] },
  { name: "reads =false behind a flag with a no", given: ["-iOSfix=false"], becomes: ["--no-iOSfix"] },
  { name: "drops a flag that is =false", given: ["run", "--dryRun=0", "web1"], becomes: ["run", "web1"] },
  { name: "leaves short flags alone", given: ["-f", "json", "-fjson"], becomes: ["-f", "json", "-fjson"] },
  { name: "leaves unknown flags alone", given: ["-dryrun", "--dry"], becomes: ["-dryrun", "--dry"] },
  { name: "leaves words behind -- alone", given: ["--", "-dryRun"], becomes: ["--", "-dryRun"] },
];

test.each(cases)("normaliseArgv() $name", ({ given, becomes }) => {
  expect(normaliseArgv(given, root)).toEqual(becomes);
});

test("normaliseArgv() refuses a boolean flag with another value", () => {
  expect(() => normaliseArgv(["--dryRunCopy=yes"], root)).toThrow(
    "Cannot read --dryRunCopy=yes: behind = stands true or false",
  );
});
