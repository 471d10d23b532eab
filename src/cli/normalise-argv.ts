import type { Command, Option } from "commander";
import { AgentError } from "../model/errors.ts";

/**
 * Go's flag package, which IAB 1.2.0 used, takes one dash for two and `=true` behind a boolean flag. So do we:
 * `-dryRun=true` becomes `--dryRun`, `-iOSfix=false` becomes `--no-iOSfix`, and all that is not a flag of ours stays.
 */
export function normaliseArgv(argv: readonly string[], root: Command): string[] {
  const flags = new Map(optionsBelow(root).map((option) => [option.long?.replace(/^--/, "") ?? "", option]));
  const end = argv.includes("--") ? argv.indexOf("--") : argv.length;
  return [...argv.slice(0, end).flatMap((word) => normaliseWord(word, flags)), ...argv.slice(end)];
}

function normaliseWord(word: string, flags: ReadonlyMap<string, Option>): string[] {
  const [, name = "", value] = /^--?([A-Za-z][A-Za-z0-9-]+)(?:=(.*))?$/s.exec(word) ?? [];
  const option = flags.get(name);
  if (option === undefined) return [word];
  if (value === undefined) return [`--${name}`];
  if (!option.isBoolean()) return [`--${name}=${value}`];
  if (/^(1|t|true)$/i.test(value)) return [`--${name}`];
  if (!/^(0|f|false)$/i.test(value)) {
    throw new AgentError("usage", `Cannot read ${word}: behind = stands true or false`);
  }
  return flags.has(`no-${name}`) ? [`--no-${name}`] : [];
}

function optionsBelow(command: Command): Option[] {
  return [...command.options, ...command.commands.flatMap(optionsBelow)];
}
