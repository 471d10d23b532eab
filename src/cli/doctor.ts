import { dirname, resolve } from "node:path";
import { Command } from "commander";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import { looseEnds } from "../config/loose-ends.ts";
import { parseConfig } from "../config/parse-config.ts";
import { attempt, checkOf, type Finding, ok, warning } from "../doctor/attempt.ts";
import { checkPrivate } from "../doctor/check-credentials.ts";
import type { Check } from "../model/check.ts";
import { Secret } from "../model/secret.ts";
import { checksCsv, checksJson, checksText, type Examination } from "../render/checks-text.ts";
import { inFormat } from "../render/table.ts";
import type { Actions, Context } from "./command.ts";
import { checkCredentials } from "./doctor-credentials.ts";
import { checkNotices } from "./doctor-notices.ts";
import { checkOffsite } from "./doctor-offsite.ts";
import { checkServers } from "./doctor-servers.ts";
import { EXIT } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { lookOf } from "./print.ts";

const Flags = z.object({ strict: z.boolean() });
type Flags = z.infer<typeof Flags>;

const HELP = `
It reads, asks and compares, and changes nothing: no snapshot, no copy, no ping. What cannot be looked at because
something else is not as it should be is UNKNOWN; all the rest is looked at nevertheless, also while a server is down.

It ends with 0 where nothing failed, with 3 where something did, and with --strict with 7 where something is to be known.

Examples:
  iab doctor
  iab doctor -f json | jq '.checks[] | select(.state == "failed")'`;

/** `iab doctor`. */
export function doctorCommand(actions: Actions): Command {
  return new Command("doctor")
    .description("Check everything that a run needs, and say what to do about what is not as it should be.")
    .option("--strict", "end with exit code 7 where there are warnings", false)
    .addHelpText("after", HELP)
    .action(actions(Flags, (flags, _operands, context) => doctor(flags, context)));
}

async function doctor({ strict }: Flags, context: Context): Promise<number> {
  const { world, globals } = context;
  const checks = await examine(context);
  const has = (wanted: Check["state"]) => checks.some(({ state }) => state === wanted);
  const exitCode = has("failed") ? EXIT.someFailed : strict && has("warning") ? EXIT.warnings : EXIT.ok;
  const found: Examination = { at: world.clock.now(), exitCode, checks };
  world.print(
    inFormat(globals.format, {
      text: () => checksText(found, lookOf(world)),
      data: () => checksJson(found),
      csv: () => checksCsv(found),
    }),
  );
  return exitCode;
}

async function examine(context: Context): Promise<readonly Check[]> {
  const { config, path, checks } = await readConfiguration(context);
  if (config === undefined || path === undefined) return checks;
  const { world } = context;
  const folder = resolve(dirname(path), config.credentialsFolder);
  const credentials = await checkCredentials(folder, config, world);
  const [lock, servers, offsite, notices] = await Promise.all([
    checkLock(path, context),
    checkServers({ config, path, ready: credentials.ready }, context),
    checkOffsite({ config, path, ready: credentials.ready }, context),
    checkNotices(config, world),
  ]);
  return [...checks, ...credentials.checks, lock, ...servers, ...offsite, ...notices];
}

type Configuration = {
  readonly config: Config | undefined;
  readonly path: string | undefined;
  readonly checks: readonly Check[];
};

async function readConfiguration({ globals, world }: Context): Promise<Configuration> {
  const { files, signal } = world;
  let path: string | undefined;
  let config: Config | undefined;
  const look = async (): Promise<Finding> => {
    path = await findConfig(globals.config, world);
    config = parseConfig(await files.read(path, signal));
    return ok("It can be used");
  };
  const read = await attempt({ check: "config.read", subject: globals.config ?? "config.json" }, look, signal);
  if (config === undefined || path === undefined) return { config, path, checks: [read] };
  const loose = looseEnds(config).map((text) =>
    checkOf({ check: "config.loose-end", subject: "retention" }, warning(text, "Correct the name, or remove it")),
  );
  const closed = holdsSecrets(config) ? [await checkPrivate(path, files, signal)] : [];
  return { config, path, checks: [{ ...read, subject: path }, ...loose, ...closed] };
}

/** Whether secrets stand in the configuration themselves. */
function holdsSecrets(part: unknown): boolean {
  if (part instanceof Secret) return true;
  return typeof part === "object" && part !== null && Object.values(part).some(holdsSecrets);
}

function checkLock(path: string, { world }: Context): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const holder = await world.files.holder(path);
    return ok(holder === undefined ? "No run is at work" : `A run is at work: ${holder}`);
  };
  return attempt({ check: "lock.free", subject: path }, look, world.signal);
}
