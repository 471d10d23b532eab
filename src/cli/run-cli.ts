import { type Command, CommanderError, Help, type Option } from "commander";
import { AgentError } from "../model/errors.ts";
import type { World } from "../model/ports.ts";
import { actionsOf, type Shell } from "./command.ts";
import { EXIT, exitCodeOf } from "./exit.ts";
import { normaliseArgv } from "./normalise-argv.ts";
import { program } from "./program.ts";

/** One command line, from its words to its exit code. Whatever is thrown ends here, told once. */
export async function runCli(argv: readonly string[], shell: Shell): Promise<number> {
  let world: World | undefined;
  let exitCode: number = EXIT.ok;
  const actions = actionsOf(
    shell,
    (opened) => {
      world = opened;
    },
    (code) => {
      exitCode = code;
    },
  );
  const root = settle(program(actions), shell);
  try {
    await root.parseAsync(normaliseArgv(argv, root), { from: "user" });
    return exitCode;
  } catch (error) {
    // Commander has printed already what it had to say: help and version are no failure, all else is a wrong usage.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const code = exitCodeOf(error, world?.signal);
    if (world?.signal.aborted) shell.printError(`iab: ended by ${String(world.signal.reason)}`);
    else tell(error, argv, shell);
    return code;
  }
}

// Commands that are added, rather than made, take nothing from their parent by themselves.
function settle(command: Command, shell: Shell): Command {
  command
    .exitOverride()
    .configureOutput({ writeOut: shell.print, writeErr: shell.printError })
    .configureHelp({ showGlobalOptions: true, optionDescription })
    .showSuggestionAfterError();
  for (const below of command.commands) settle(below, shell);
  return command;
}

// That a flag is off, and a list empty, goes without saying.
function optionDescription(option: Option): string {
  return new Help().optionDescription(option).replace(/ \(default: (false|\[\])\)$/, "");
}

function tell(error: unknown, argv: readonly string[], shell: Shell): void {
  if (error instanceof AgentError) {
    shell.printError(`iab: ${error.message}`);
    if (error.hint !== undefined) shell.printError(`     hint: ${error.hint}`);
    if (debugging(argv)) shell.printError(chainText(error));
    return;
  }
  shell.printError(`iab: this is a bug in iab: ${error instanceof Error ? error.message : String(error)}`);
  if (debugging(argv)) shell.printError(chainText(error));
  else shell.printError("     run it with --log-level debug to see where");
}

// The world may not have been opened when something throws, so the level is looked up among the words themselves.
function debugging(argv: readonly string[]): boolean {
  return /(^| )--?log-level[= ]debug( |$)/.test(argv.join(" "));
}

function chainText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\ncaused by ${chainText(error.cause)}`;
}
