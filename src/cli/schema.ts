import { Command } from "commander";
import { z } from "zod";
import { configSchema } from "../config/config-schema.ts";
import { AgentError } from "../model/errors.ts";
import { jsonText } from "../render/table.ts";
import { yamlText } from "../render/yaml.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";

const HELP = `
Example, for editors that complete and check config.json:
  iab schema > config.schema.json`;

/** `iab schema`: what config.json may say, for editors and other programs. */
export function schemaCommand(actions: Actions): Command {
  return new Command("schema")
    .description("Print the JSON Schema of config.json.")
    .addHelpText("after", HELP)
    .action(actions(z.object({}), printSchema));
}

async function printSchema(
  _options: object,
  _operands: readonly string[],
  { globals, world }: Context,
): Promise<number> {
  if (globals.format === "csv") throw new AgentError("usage", "Cannot print the schema as csv: it is no list");
  world.print(globals.format === "yaml" ? yamlText(configSchema()) : jsonText(configSchema()));
  return EXIT.ok;
}
