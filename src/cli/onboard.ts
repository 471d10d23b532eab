import { Command } from "commander";
import { z } from "zod";
import type { Actions } from "./command.ts";

const Options = z.object({
  sourceURL: z.string().optional(),
  sourceToken: z.string().optional(),
  targetURL: z.string().optional(),
  targetToken: z.string().optional(),
  iabCredDir: z.string().min(1).optional(),
  outConfig: z.string().min(1),
  bare: z.boolean(),
  force: z.boolean(),
  healthchecksKey: z.string().optional(),
  healthchecksApi: z.url({ protocol: /^https?$/, error: "it is not a web address" }),
});
export type OnboardOptions = z.infer<typeof Options>;

const EXAMPLE = `
Make a token on each server first:
  incus config trust add iab                                   may do everything
  incus config trust add iab --restricted --projects default   may touch these projects only

Example:
  iab onboard --sourceURL https://192.0.2.10:8443 --sourceToken @source.token \\
              --targetURL https://192.0.2.11:8443 --targetToken @target.token

A token or key given as @FILE is read from the file, as - from standard input (one a line, the source's first).
On a terminal, what is not given is asked for.`;

/** `iab onboard`: makes both servers trust the agent, pins their certificates and writes a first config.json. */
export function onboardCommand(actions: Actions): Command {
  return new Command("onboard")
    .description("Make two Incus servers trust the agent, pin their certificates and write a first config.json.")
    .option("--sourceURL <url>", "address of the source server; without it those in the token are tried")
    .option("--sourceToken <token>", "trust token of the source server")
    .option("--targetURL <url>", "address of the target server")
    .option("--targetToken <token>", "trust token of the target server")
    .option("--iabCredDir <folder>", "credentials (default: incusAutobackup in $XDG_CONFIG_HOME or ~/.config)")
    .option("--outConfig <path>", "folder, or .json file, for the configuration", ".")
    .option("--bare", "write a configuration that names no workloads", false)
    .option("--force", "overwrite an existing configuration", false)
    .option("--healthchecksKey <key>", "API key of Healthchecks: make a check and put its address in the configuration")
    .option("--healthchecksApi <url>", "the Healthchecks service", "https://healthchecks.io")
    .addHelpText("after", EXAMPLE)
    .action(
      actions(Options, async (options, _operands, { world }) => {
        // Loaded on demand: what makes certificates takes longer to start than all the rest.
        const { onboard } = await import("./onboard-servers.ts");
        return onboard(options, world);
      }),
    );
}
