import { Command } from "commander";
import { type Actions, addGlobals } from "./command.ts";
import { doctorCommand } from "./doctor.ts";
import { offsiteCommand } from "./offsite.ts";
import { onboardCommand } from "./onboard.ts";
import { retentionCommand } from "./retention.ts";
import { planCommand, runCommand } from "./run.ts";
import { schemaCommand } from "./schema.ts";
import { statusCommand } from "./status.ts";

declare const IAB_VERSION: string;

const HELP = `
Examples:
  iab onboard                make two servers trust the agent; asks for what it needs
  iab plan                   what a run would do, and why
  iab                        a run; the same as iab run
  iab status                 how far every copy is behind

Exit codes:
  0    all done; of a dry run: all decided
  1    a bug in iab
  2    a wrong flag, or something missing on the command line
  3    done, but some steps failed or were left out: the report names them
  4    the configuration, or the credentials, cannot be used
  5    a server cannot be reached, refuses, or is not the pinned one
  6    Kopia failed
  7    done, with warnings that need a person; only with --strict
  11   another run holds the lock
  75   nothing done now, try later: outside the maintenance window, or it closed before the end
  130  ended by SIGINT after undoing what had to be undone; 143: by SIGTERM`;

/** The command line: every command of `iab`, its flags and its help. */
export function program(actions: Actions): Command {
  return addGlobals(new Command("iab"))
    .description("Stateless replication and backup for Incus: snapshot, replicate, prune, explain.")
    .version(typeof IAB_VERSION === "undefined" ? "development" : IAB_VERSION, "--version", "print the version")
    .addHelpText("after", HELP)
    .addCommand(runCommand(actions), { isDefault: true })
    .addCommand(planCommand(actions))
    .addCommand(statusCommand(actions))
    .addCommand(doctorCommand(actions))
    .addCommand(onboardCommand(actions))
    .addCommand(offsiteCommand(actions))
    .addCommand(retentionCommand(actions))
    .addCommand(schemaCommand(actions));
}
