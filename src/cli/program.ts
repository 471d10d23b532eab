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

/** The command line: every command of `iab`, its flags and its help. */
export function program(actions: Actions): Command {
  return addGlobals(new Command("iab"))
    .description("Stateless replication and backup for Incus: snapshot, replicate, prune, explain.")
    .version(typeof IAB_VERSION === "undefined" ? "development" : IAB_VERSION, "--version", "print the version")
    .addCommand(runCommand(actions), { isDefault: true })
    .addCommand(planCommand(actions))
    .addCommand(statusCommand(actions))
    .addCommand(doctorCommand(actions))
    .addCommand(onboardCommand(actions))
    .addCommand(offsiteCommand(actions))
    .addCommand(retentionCommand(actions))
    .addCommand(schemaCommand(actions));
}
