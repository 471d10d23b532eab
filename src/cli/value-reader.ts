import { AgentError } from "../model/errors.ts";
import type { World } from "../model/ports.ts";
import { Secret } from "../model/secret.ts";

/** Reads a secret as it was given on the command line: by itself, as `@file`, or as `-` for a line of stdin. */
export type ReadValue = (given: string | undefined, flag: string) => Promise<Secret | undefined>;

/** Reads secrets that had better not stand on the command line. Each `-` takes the next line of stdin. */
export function valueReader({ files, terminal, signal }: World): ReadValue {
  let lines: string[] | undefined;
  return async (given, flag) => {
    if (given === undefined) return undefined;
    if (given.startsWith("@")) return filled((await files.read(given.slice(1), signal)).trim(), flag, given.slice(1));
    if (given !== "-") return filled(given.trim(), flag, "the command line");
    lines ??= (await terminal.readInput(signal))
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
    return filled(lines.shift() ?? "", flag, "standard input");
  };
}

function filled(value: string, flag: string, where: string): Secret {
  if (value !== "") return new Secret(value);
  throw new AgentError("usage", `Cannot use ${flag}: there is nothing in ${where}`);
}
