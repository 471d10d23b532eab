import { Command } from "commander";
import { z } from "zod";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { World } from "../model/ports.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { findBackup, withArchive } from "./with-archive.ts";

const Flags = z.object({ to: z.string().min(1, "expected a folder, or - for stdout"), owners: z.boolean() });

const EXAMPLES = `
What was backed up as a stream (a disk, an export of Incus) becomes one file in the folder; to stdout it comes as it was,
and files come as a tar.

Examples:
  iab offsite restore 4afeed0c --to /srv/restored
  iab offsite restore 4afeed0c --to - | tar tv`;

/** `iab offsite restore`: a backup to a folder or to stdout. */
export function offsiteRestoreCommand(actions: Actions): Command {
  return new Command("restore")
    .description("Write a backup to an empty folder, or to stdout.")
    .argument("<id>", "the backup's id, or how it begins: see iab offsite list")
    .requiredOption("--to <folder>", "an empty folder, or one that is not there yet; - for stdout")
    .option("--no-owners", "leave out whose the files are, which only root can set")
    .addHelpText("after", EXAMPLES)
    .action(actions(Flags, (flags, [id = ""], context) => restore(flags, id, context)));
}

async function restore({ to, owners }: z.infer<typeof Flags>, id: string, context: Context): Promise<number> {
  const { world } = context;
  await refuse(to, world);
  return withArchive(context, async (archive) => {
    const backup = findBackup(await archive.list(world.signal), id);
    if (backup.state !== "complete") world.log.warn("restore.incomplete", { id: backup.id, state: backup.state });
    if (to === "-") await archive.restoreToStdout(backup, world.signal);
    else await archive.restoreTo(backup, to, { owners }, world.signal);
    world.log.info("restore.ended", facts(backup, to));
    return EXIT.ok;
  });
}

async function refuse(to: string, { terminal, files }: World): Promise<void> {
  if (to === "-" && terminal.stdoutIsTerminal) {
    throw new AgentError("usage", "Cannot write a backup to a terminal", {
      hint: "redirect stdout to a file or a program",
    });
  }
  if (to !== "-" && (await files.list(to)).length > 0) {
    throw new AgentError("usage", `Cannot restore to ${to}: the folder is not empty`, { hint: "name another one" });
  }
}

function facts({ id, source, sizeBytes }: Backup, to: string) {
  return { id, source, bytes: sizeBytes, to };
}
