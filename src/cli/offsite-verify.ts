import { Command, Option } from "commander";
import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import { verifiedText } from "../render/offsite-text.ts";
import type { Actions } from "./command.ts";
import { EXIT } from "./exit.ts";
import { drillOf } from "./offsite-drill.ts";
import { withArchive } from "./with-archive.ts";

const Flags = z.object({
  percent: z
    .string()
    .regex(/^\d+(\.\d+)?$/, "expected a number from 0 to 100")
    .transform(Number)
    .refine((percent) => percent <= 100, "expected a number from 0 to 100"),
  drill: z.string().min(1, "expected a workload").optional(),
  server: z.enum(["source", "target"]).optional(),
  pool: z.string().optional(),
  ignoreSpace: z.boolean(),
});

const EXAMPLES = `
A drill makes the newest backup of a workload an instance or a volume again, under a name of its own, reads it back through
Incus, compares names, owners, modes, links, attributes and bytes with the backup, and removes it. It is never started.

Examples:
  iab offsite verify --percent 100                        read everything: it is all downloaded
  iab offsite verify --drill web1 --server target         a restore that has been seen to work`;

/** `iab offsite verify`: whether what is stored can be read. */
export function offsiteVerifyCommand(actions: Actions): Command {
  return new Command("verify")
    .description("Check all complete backups of this host, and read part of their files back.")
    .option("--percent <n>", "how many of the files are read whole, drawn by lot", "1")
    .option("--drill <workload>", "restore the newest backup of this one instead, compare it, and remove it again")
    .addOption(new Option("--server <side>", "where to drill (default: where it was)").choices(["source", "target"]))
    .option("--pool <pool>", "the pool to drill in (default: the one it was in)")
    .option("--ignore-space", "drill where the pool seems to have too little room", false)
    .addHelpText("after", EXAMPLES)
    .action(
      actions(Flags, ({ percent, drill, server, pool, ignoreSpace }, _operands, context) => {
        if (drill !== undefined) return drillOf(drill, { server, pool, ignoreSpace }, context);
        if (server !== undefined || pool !== undefined || ignoreSpace) {
          throw new AgentError("usage", "Cannot verify: --server, --pool and --ignore-space go with --drill");
        }
        return withArchive(context, async (archive) => {
          const { world, globals } = context;
          const backups = (await archive.list(world.signal)).filter(({ state }) => state === "complete");
          if (backups.length === 0) {
            throw new AgentError("kopia.not-found", "Cannot verify anything: this host has no complete backup");
          }
          const verified = await archive.verify(backups, { percent }, world.signal);
          world.print(verifiedText(globals.format, { ...verified, backups: backups.length }));
          return EXIT.ok;
        });
      }),
    );
}
