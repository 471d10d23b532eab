import type { Processes } from "../../../src/model/ports.ts";

/** What a program writes, where it is known only when the program has ended. */
export function outputVia(run: Processes["run"]): Processes["output"] {
  return async function* (command, signal) {
    const { stdout, ...ended } = await run(command, signal);
    if (stdout !== "") yield Buffer.from(stdout);
    return { ...ended, stdout: "" };
  };
}
