import { type Command, Option } from "commander";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import { AgentError } from "../model/errors.ts";
import type { Servers, World } from "../model/ports.ts";
import { FORMATS } from "../render/table.ts";
import type { LogLevel } from "../system/log.ts";
import type { OpenHost } from "./offsite-host.ts";

export type LogFormat = "auto" | "json" | "pretty";

/** How the command line reaches the world: the real one in `main.ts`, one of its own in each test. */
export type Shell = {
  /** Builds the world once the flags that shape its log are known. */
  readonly open: (settings: { readonly level: LogLevel; readonly format: LogFormat }) => World;
  readonly connect: Connect;
  readonly openHost: OpenHost;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
};

/** Opens the way to both servers of a configuration. */
export type Connect = (config: Config, configPath: string, world: World) => Promise<Servers>;

/** The flags that every command has. */
const Globals = z.object({
  config: z.string().optional(),
  logLevel: z.enum(["debug", "info", "warn", "error"]),
  logFormat: z.enum(["auto", "json", "pretty"]),
  format: z.enum(FORMATS),
  quiet: z.boolean(),
  progress: z.boolean(),
});

export type Globals = Readonly<z.infer<typeof Globals>>;

/** Adds the flags that every command has; they may stand before and behind its name. */
export function addGlobals(command: Command): Command {
  return command
    .option("--config <file>", "configuration (default: ./config.json, $IAB_CONFIG, /etc/iab/config.json)")
    .addOption(
      new Option("--log-level <level>", "how much to log").choices(["debug", "info", "warn", "error"]).default("info"),
    )
    .addOption(new Option("--log-format <format>", "how to log").choices(["auto", "json", "pretty"]).default("auto"))
    .addOption(new Option("-f, --format <format>", "how to print the result").choices([...FORMATS]).default("table"))
    .option("--quiet", "no progress, no log below warnings, no report of a run that went well", false)
    .option("--no-progress", "show no progress");
}

/** What a command works on, its own flags and arguments aside. */
export type Context = Pick<Shell, "connect" | "openHost"> & { readonly globals: Globals; readonly world: World };

/** What runs when the command line has been read, for `Command.action`. It leaves the exit code in `ended`. */
export type Action = (...given: unknown[]) => Promise<void>;

/** Makes actions: they read flags by a schema, open the world, and report the exit code. */
export type Actions = <Options>(
  schema: z.ZodType<Options>,
  work: (options: Options, operands: readonly string[], context: Context) => Promise<number>,
) => Action;

/** Makes the actions of one command line; `began` hears of the world, `ended` of the exit code. */
export function actionsOf(shell: Shell, began: (world: World) => void, ended: (exitCode: number) => void): Actions {
  return (schema, work) =>
    async (...given) => {
      const command = given.at(-1) as Command;
      const globals = parseFlags(Globals, command.optsWithGlobals());
      const options = parseFlags(schema, command.opts());
      const level = globals.quiet && globals.logLevel === "info" ? "warn" : globals.logLevel;
      const world = shell.open({ level, format: globals.logFormat });
      began(world);
      const { connect, openHost } = shell;
      ended(await work(options, command.args, { globals, world, connect, openHost }));
    };
}

function parseFlags<T>(schema: z.ZodType<T>, flags: unknown): T {
  const read = schema.safeParse(flags);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new AgentError("usage", `Cannot use --${kebab(String(issue?.path[0] ?? ""))}: ${issue?.message}`);
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
