import { Command } from "commander";
import { z } from "zod";
import { parseConfig } from "../config/parse-config.ts";
import { AgentError } from "../model/errors.ts";
import { archiveStatusText } from "../render/offsite-text.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { runningOffsite } from "./offsite-progress.ts";
import { offsitePart, ownerOf, withArchive } from "./with-archive.ts";

/** `iab offsite status`: how it stands with the repository, and with a run that is at work. */
export function offsiteStatusCommand(actions: Actions): Command {
  return new Command("status")
    .description("Say whether the repository opens, what the newest backup is, and whether a run is at work.")
    .addHelpText("after", "\nExample:\n  iab offsite status -f json | jq .last_backup")
    .action(actions(z.object({}), (_flags, _operands, context) => showStatus(context)));
}

/** A repository that does not open is a result too: it is printed, and then told as the error that it is. */
async function showStatus(context: Context): Promise<number> {
  const { world, globals } = context;
  const now = world.clock.now();
  const running = await runningNow(context);
  try {
    const backups = await withArchive(context, (archive) => archive.list(world.signal));
    world.print(archiveStatusText(globals.format, { backups, trouble: undefined, running }, now));
    return EXIT.ok;
  } catch (error) {
    if (error instanceof AgentError && error.code.startsWith("kopia.")) {
      world.print(archiveStatusText(globals.format, { backups: undefined, trouble: error.message, running }, now));
    }
    throw error;
  }
}

async function runningNow({ globals, world }: Context) {
  const path = await findConfig(globals.config, world);
  const offsite = offsitePart(parseConfig(await world.files.read(path, world.signal)), path);
  return runningOffsite(await ownerOf(offsite, world), offsite, world);
}
