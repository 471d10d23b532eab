import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { AgentError } from "../model/errors.ts";
import type { Command, Finished, Processes } from "../model/ports.ts";

// Our own environment may hold secrets that are no business of a child.
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|XDG_[A-Z_]+|SSL_CERT_(FILE|DIR)|(https?|no|all)_proxy)$/i;

/** Programs of this machine. A child that does not end within the grace after the gentle signal is ended hard. */
export function systemProcesses(graceMs = 10_000): Processes {
  return { run: (command, signal) => runToEnd(command, graceMs, signal) };
}

async function runToEnd(command: Command, usualGraceMs: number, signal: AbortSignal): Promise<Finished> {
  signal.throwIfAborted();
  const graceMs = command.graceMs ?? usualGraceMs;
  const child = start(command);
  const endGently = () => end(child, graceMs);
  signal.addEventListener("abort", endGently, { once: true });
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
    if (child.exitCode === null && child.signalCode === null) signalGroup(child, "SIGKILL");
  }
}

type Child = ChildProcess & { readonly stdin: Writable; readonly stdout: Readable | null; readonly stderr: Readable };

// A group of its own: a Ctrl-C at the terminal reaches the agent alone, which then ends its children in good order.
function start({ argv, environment, toOurStdout }: Command): Child {
  const [program = "", ...rest] = argv;
  const inherited = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  const options = { env: { ...Object.fromEntries(inherited), ...environment }, detached: true };
  return toOurStdout
    ? spawn(program, rest, { ...options, stdio: ["pipe", "inherit", "pipe"] })
    : spawn(program, rest, { ...options, stdio: ["pipe", "pipe", "pipe"] });
}

function exitOf(child: ChildProcess, { argv }: Command): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      reject(new AgentError("files.unusable", `Cannot run ${argv[0]}: ${cause.message}`, { cause }));
    });
    // As shells have it: 128 and the number of the signal that ended it.
    child.once("close", (code, ended) => resolve(code ?? 128 + (ended === null ? 0 : constants.signals[ended])));
  });
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

function end(child: ChildProcess, graceMs: number): void {
  signalGroup(child, "SIGTERM");
  const timer = setTimeout(() => signalGroup(child, "SIGKILL"), graceMs);
  child.once("close", () => clearTimeout(timer));
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (cause) {
    // The group has gone already.
    if (!(cause instanceof Error && "code" in cause && cause.code === "ESRCH")) throw cause;
  }
}
