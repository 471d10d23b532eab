import { z } from "zod";
import { ConfigFile } from "./schema.ts";

/** What config.json may say, as JSON Schema. */
export function configSchema(): object {
  return z.toJSONSchema(ConfigFile, { io: "input" });
}
