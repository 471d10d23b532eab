import { join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { World } from "../model/ports.ts";
import { Secret, type SecretRef } from "../model/secret.ts";

/** Reads a secret from where the configuration says it is. */
export async function reveal(ref: SecretRef, world: World): Promise<Secret> {
  switch (ref.kind) {
    case "value":
      return ref.secret;
    case "file":
      return new Secret(oneLine(await world.files.read(ref.path, world.signal)));
    case "env":
      return new Secret(variable(ref.name, world, `Cannot read a secret from $${ref.name}: it is not set`));
    case "credential": {
      const missing = `Cannot read the credential ${ref.name}: $CREDENTIALS_DIRECTORY is not set`;
      const folder = variable("CREDENTIALS_DIRECTORY", world, missing);
      return new Secret(oneLine(await world.files.read(join(folder, ref.name), world.signal)));
    }
  }
}

function variable(name: string, { environment }: World, missing: string): string {
  const value = environment[name];
  if (value === undefined || value === "") {
    throw new AgentError("config.invalid", missing, {
      hint: "systemd sets it for services with LoadCredential=, a shell with export",
    });
  }
  return value;
}

// Editors and echo end a file with a newline, which is no part of the secret.
function oneLine(text: string): string {
  return text.replace(/\r?\n$/, "");
}
