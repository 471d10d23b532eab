import { Command } from "commander";
import { z } from "zod";
import { backupsText } from "../render/offsite-text.ts";
import type { Actions } from "./command.ts";
import { EXIT } from "./exit.ts";
import { withArchive } from "./with-archive.ts";

/** `iab offsite list`: the backups of this host. */
export function offsiteListCommand(actions: Actions): Command {
  return new Command("list")
    .description("List the backups of this host in the repository, oldest first.")
    .addHelpText("after", "\nExample:\n  iab offsite list -f json | jq -r '.[-1].id'")
    .action(
      actions(z.object({}), (_flags, _operands, context) =>
        withArchive(context, async (archive) => {
          const { world, globals } = context;
          world.print(backupsText(globals.format, await archive.list(world.signal)));
          return EXIT.ok;
        }),
      ),
    );
}
