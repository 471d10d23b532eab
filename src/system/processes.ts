import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import type { Command, Finished, Processes } from "../model/ports.ts";
import { type Child, endChild, exitOf, killChild, signalGroup, startChild } from "./children.ts";
import { outputOf } from "./program-output.ts";

/** Programs of this machine. A child that does not end within the grace after the gentle signal is ended hard. */
export function systemProcesses(graceMs = 10_000): Processes {
  return {
    run: (command, signal) => runToEnd(command, graceMs, signal),
    output: (command, signal) => outputOf(command, command.graceMs ?? graceMs, signal),
  };
}

async function runToEnd(command: Command, usualGraceMs: number, signal: AbortSignal): Promise<Finished> {
  signal.throwIfAborted();
  const graceMs = command.graceMs ?? usualGraceMs;
  const child = startChild(command);
  const endGently = () => endChild(child, graceMs);
  const endHard = () => killChild(child);
  signal.addEventListener("abort", endGently, { once: true });
  command.killOn?.addEventListener("abort", endHard, { once: true });
  try {
    if (command.onErrorLine) createInterface({ input: child.stderr }).on("line", command.onErrorLine);
    const [stdout, stderr, exitCode] = await Promise.all([
      child.stdout === null ? "" : text(child.stdout),
      text(child.stderr),
      exitOf(child, command),
      feed(child, command.input ?? "", signal),
    ]);
    signal.throwIfAborted();
    return { exitCode, stdout, stderr };
  } finally {
    signal.removeEventListener("abort", endGently);
    command.killOn?.removeEventListener("abort", endHard);
    killChild(child);
  }
}

/** How long a program has to hear of its end before its input closes. */
const HEARING_MS = 1000;

async function feed(child: Child, input: string | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  // A program may end without reading all of its input: its exit code tells what that means.
  child.stdin.on("error", () => {});
  if (typeof input === "string") {
    child.stdin.end(input);
    return;
  }
  try {
    await pour(input, child, closed, signal);
    child.stdin.end();
  } catch (cause) {
    // The end of the input means that it is whole: a program that is to end must know so before it sees that end.
    if (signal.aborted) setTimeout(() => child.stdin.destroy(), HEARING_MS).unref();
    else signalGroup(child, "SIGKILL");
    await closed;
    if (!signal.aborted) throw cause;
  }
}

async function pour(
  input: AsyncIterable<Uint8Array>,
  { stdin }: Child,
  closed: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let stop = () => {};
  // Ends all waiting when the program has gone, or the work is to end; a wait that lasts longer is not waited for.
  const over = new Promise<"over">((resolve) => {
    stop = () => resolve("over");
    void closed.then(stop);
    signal.addEventListener("abort", stop, { once: true });
  });
  const chunks = input[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), over]);
      signal.throwIfAborted();
      if (next === "over" || next.done) return;
      if (!stdin.write(next.value)) await Promise.race([drained(stdin), over]);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    // The stream is told that nobody reads on; what it says to that changes nothing any more.
    Promise.resolve(chunks.return?.()).catch(() => {});
  }
}

function drained(stdin: Writable): Promise<void> {
  return new Promise((resolve) => stdin.once("drain", () => resolve()));
}
