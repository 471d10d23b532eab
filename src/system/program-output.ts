import { execFile } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { AgentError } from "../model/errors.ts";
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
  const pipe = await openPipe();
  const output = new Socket({ fd: pipe.readEnd, readable: true, writable: false });
  const child = startChild(command, pipe.writeEnd);
  // The program alone has it now: when it ends, so does what we read.
  closeSync(pipe.writeEnd);
  const endGently = () => endChild(child, graceMs);
  signal.addEventListener("abort", endGently, { once: true });
  const exited = exitOf(child, command);
  exited.catch(() => {});
  const words = lastWordsOf(child.stderr);
  try {
    child.stdin.on("error", () => {});
    child.stdin.end(typeof command.input === "string" ? command.input : "");
    for await (const chunk of output) yield chunk;
    const exitCode = await exited;
    signal.throwIfAborted();
    return { exitCode, stdout: "", stderr: words() };
  } finally {
    signal.removeEventListener("abort", endGently);
    output.destroy();
    killChild(child);
  }
}

/**
 * A pipe as the kernel has them. What Node gives a child for its stdout is a socket, which a program cannot open anew as
 * /dev/stdout, as Kopia does where it writes a tar.
 */
async function openPipe(): Promise<{ readonly readEnd: number; readonly writeEnd: number }> {
  const folder = await mkdtemp(join(tmpdir(), "iab-pipe-"));
  try {
    const path = join(folder, "pipe");
    await promisify(execFile)("mkfifo", ["-m", "600", path]);
    // Both ways first: to open one end alone would wait for somebody at the other.
    const writeEnd = openSync(path, constants.O_RDWR);
    const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return { readEnd, writeEnd };
  } catch (cause) {
    throw new AgentError("files.unusable", `Cannot make a pipe below ${tmpdir()}`, { cause });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function lastWordsOf(stderr: Readable): () => string {
  let words = "";
  stderr.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-MOST_ERROR_BYTES);
  });
  return () => words;
}
