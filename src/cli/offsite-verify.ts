import { Command } from "commander";
import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import { verifiedText } from "../render/offsite-text.ts";
import type { Actions } from "./command.ts";
import { EXIT } from "./exit.ts";
import { withArchive } from "./with-archive.ts";

const Flags = z.object({
  percent: z
    .string()
    .regex(/^\d+(\.\d+)?$/, "expected a number from 0 to 100")
    .transform(Number)
    .refine((percent) => percent <= 100, "expected a number from 0 to 100"),
});

/** `iab offsite verify`: whether what is stored can be read. */
export function offsiteVerifyCommand(actions: Actions): Command {
  return new Command("verify")
    .description("Check all complete backups of this host, and read part of their files back.")
    .option("--percent <n>", "how many of the files are read whole, drawn by lot", "1")
    .addHelpText("after", "\nExample:\n  iab offsite verify --percent 100      read everything: it is all downloaded")
    .action(
      actions(Flags, ({ percent }, _operands, context) =>
        withArchive(context, async (archive) => {
          const { world, globals } = context;
          const backups = (await archive.list(world.signal)).filter(({ state }) => state === "complete");
          if (backups.length === 0) {
            throw new AgentError("kopia.not-found", "Cannot verify anything: this host has no complete backup");
          }
          const verified = await archive.verify(backups, { percent }, world.signal);
          world.print(verifiedText(globals.format, { ...verified, backups: backups.length }));
          return EXIT.ok;
        }),
      ),
    );
}
