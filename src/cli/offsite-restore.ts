import { Command, Option } from "commander";
import { z } from "zod";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { World } from "../model/ports.ts";
import { posixTar } from "../tar/posix.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { restoreToIncus } from "./offsite-restore-incus.ts";
import { findBackup, withArchive } from "./with-archive.ts";

const Flags = z.object({
  to: z.string().min(1, "expected a folder, or - for stdout").optional(),
  owners: z.boolean(),
  toIncus: z.string().min(1, "expected a name").optional(),
  server: z.enum(["source", "target"]).optional(),
  pool: z.string().optional(),
  withoutDevice: z.array(z.string()),
  replace: z.boolean(),
  yes: z.boolean(),
  ignoreSpace: z.boolean(),
});

const EXAMPLES = `
What was backed up as a stream (a disk, an export of Incus) becomes one file in the folder; to stdout it comes as it was,
and files come as a tar.

With --to-incus the whole workload is made again, from any of the backups of one run of it. Under a name of its own it is a
copy: it gets new addresses, lacks the volumes of the old one, and does not start by itself. Under the old name, where that
is free, it is what it was.

Examples:
  iab offsite restore 4afeed0c --to /srv/restored
  iab offsite restore 4afeed0c --to - | tar tv
  iab offsite restore 4afeed0c --to-incus web1-restored --pool local
  iab offsite restore 4afeed0c --to-incus web1 --replace        what is there is set aside`;

/** `iab offsite restore`: a backup to a folder or to stdout. */
export function offsiteRestoreCommand(actions: Actions): Command {
  return new Command("restore")
    .description("Write a backup to an empty folder or to stdout, or make an instance or a volume of it again.")
    .argument("<id>", "the backup's id, or how it begins: see iab offsite list")
    .option("--to <folder>", "an empty folder, or one that is not there yet; - for stdout")
    .option("--no-owners", "leave out whose the files are, which only root can set")
    .option("--to-incus <name>", "web1, project/web1; of a volume data, pool/data, project/pool/data")
    .addOption(new Option("--server <side>", "where to make it (default: where it was)").choices(["source", "target"]))
    .option("--pool <pool>", "the pool to make it in (default: the one it was in)")
    .option("--without-device <name>", "leave a device out; may be given more than once", also, [])
    .option("--replace", "set aside what bears the name, and take its place", false)
    .option("--yes", "do not ask before replacing", false)
    .option("--ignore-space", "try it where the pool seems to have too little room", false)
    .addHelpText("after", EXAMPLES)
    .action(
      actions(Flags, (flags, [id = ""], context) => {
        const { to, toIncus, server, pool, ...more } = flags;
        refuseMixed(flags);
        return toIncus === undefined
          ? restore({ to: to ?? "-", owners: flags.owners }, id, context)
          : restoreToIncus({ ...more, toIncus, server, pool }, id, context);
      }),
    );
}

/** What belongs to the other way would be ignored, which nobody would notice. */
function refuseMixed({ to, toIncus, owners, server, pool, ...flags }: z.infer<typeof Flags>): void {
  if ((to === undefined) === (toIncus === undefined)) {
    throw new AgentError("usage", "Cannot restore: say where to, with either --to or --to-incus");
  }
  const { replace, yes, withoutDevice, ignoreSpace } = flags;
  const named = server !== undefined || pool !== undefined || withoutDevice.length > 0;
  if (to !== undefined && (named || replace || yes || ignoreSpace)) {
    throw new AgentError(
      "usage",
      "Cannot restore: --server, --pool, --without-device, --replace, --yes, --ignore-space go with --to-incus",
    );
  }
  if (toIncus !== undefined && !owners) throw new AgentError("usage", "Cannot restore: --no-owners goes with --to");
}

function also(name: string, names: readonly string[]): string[] {
  return [...names, name];
}

type FolderFlags = { readonly to: string; readonly owners: boolean };

async function restore({ to, owners }: FolderFlags, id: string, context: Context): Promise<number> {
  const { world } = context;
  await refuse(to, world);
  return withArchive(context, async (archive) => {
    const backup = findBackup(await archive.list(world.signal), id);
    if (backup.state !== "complete") world.log.warn("restore.incomplete", { id: backup.id, state: backup.state });
    if (to === "-" && backup.streamName === undefined)
      await writeTar(archive.read(backup, world.signal), backup, world);
    else if (to === "-") await archive.restoreToStdout(backup, world.signal);
    else await archive.restoreTo(backup, to, { owners }, world.signal);
    world.log.info("restore.ended", facts(backup, to));
    return EXIT.ok;
  });
}

/** Past a program whose stdout is ours: it goes no faster than whoever reads it. */
async function writeTar(bytes: AsyncIterable<Uint8Array>, { id }: Backup, { processes, signal }: World): Promise<void> {
  const input = posixTar(bytes, `backup ${id}`);
  const { exitCode } = await processes.run({ argv: ["cat"], input, toOurStdout: true }, signal);
  if (exitCode !== 0) throw new AgentError("files.unusable", `Cannot write backup ${id} to stdout`);
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
