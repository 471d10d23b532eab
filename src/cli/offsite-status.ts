import { Command } from "commander";
import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import { archiveStatusText } from "../render/offsite-text.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { withArchive } from "./with-archive.ts";

/** `iab offsite status`: how it stands with the repository. */
export function offsiteStatusCommand(actions: Actions): Command {
  return new Command("status")
    .description("Say whether the repository opens, and what the newest backup is.")
    .addHelpText("after", "\nExample:\n  iab offsite status -f json | jq .last_backup")
    .action(actions(z.object({}), (_flags, _operands, context) => showStatus(context)));
}

/** A repository that does not open is a result too: it is printed, and then told as the error that it is. */
async function showStatus(context: Context): Promise<number> {
  const { world, globals } = context;
  const now = world.clock.now();
  try {
    const backups = await withArchive(context, (archive) => archive.list(world.signal));
    world.print(archiveStatusText(globals.format, { backups, trouble: undefined }, now));
    return EXIT.ok;
  } catch (error) {
    if (error instanceof AgentError && error.code.startsWith("kopia.")) {
      world.print(archiveStatusText(globals.format, { backups: undefined, trouble: error.message }, now));
    }
    throw error;
  }
}
