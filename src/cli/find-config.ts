import { AgentError } from "../model/errors.ts";
import type { World } from "../model/ports.ts";

const IN_THIS_FOLDER = "./config.json";
const OF_THIS_MACHINE = "/etc/iab/config.json";

/** The path of the configuration: the one that was asked for, else the first of the usual places that holds one. */
export async function findConfig(given: string | undefined, { files, environment }: World): Promise<string> {
  if (given !== undefined) return given;
  if (await files.exists(IN_THIS_FOLDER)) return IN_THIS_FOLDER;
  // Whoever sets the variable means that file: if it is not there, reading it says so.
  const named = environment["IAB_CONFIG"];
  if (named !== undefined && named !== "") return named;
  if (await files.exists(OF_THIS_MACHINE)) return OF_THIS_MACHINE;
  throw new AgentError("config.invalid", `Cannot find a configuration: no ${IN_THIS_FOLDER}, no ${OF_THIS_MACHINE}`, {
    hint: "name one with --config or $IAB_CONFIG, or make one with iab onboard",
  });
}
