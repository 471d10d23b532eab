import type { Readable } from "node:stream";
import type { Command, Finished } from "../model/ports.ts";
import { endChild, exitOf, killChild, startChild } from "./children.ts";

/** What of a program's stderr is kept: its last words say why it failed. */
const MOST_ERROR_BYTES = 256 * 1024;

/**
 * What a program writes, as it writes it and no faster than it is read; how it ended comes last. Whoever reads no further
 * ends the program.
 */
export async function* outputOf(
  command: Command,
  graceMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, Finished> {
  signal.throwIfAborted();
  const child = startChild(command);
  const endGently = () => endChild(child, graceMs);
  signal.addEventListener("abort", endGently, { once: true });
  const exited = exitOf(child, command);
  exited.catch(() => {});
  const words = lastWordsOf(child.stderr);
  try {
    child.stdin.on("error", () => {});
    child.stdin.end(typeof command.input === "string" ? command.input : "");
    if (child.stdout !== null) for await (const chunk of child.stdout) yield chunk;
    const exitCode = await exited;
    signal.throwIfAborted();
    return { exitCode, stdout: "", stderr: words() };
  } finally {
    signal.removeEventListener("abort", endGently);
    killChild(child);
  }
}

function lastWordsOf(stderr: Readable): () => string {
  let words = "";
  stderr.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-MOST_ERROR_BYTES);
  });
  return () => words;
}
