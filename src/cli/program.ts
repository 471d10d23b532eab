import { Command } from "commander";

declare const IAB_VERSION: string;

/** The command line: every command of `iab`, its flags and its help. */
export function program(): Command {
  return new Command("iab")
    .description("Stateless replication and backup for Incus: snapshot, replicate, prune, explain.")
    .version(typeof IAB_VERSION === "undefined" ? "development" : IAB_VERSION);
}
