import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { AgentError } from "../model/errors.ts";
import type { Command, Finished, Processes } from "../model/ports.ts";

// Our own environment may hold secrets that are no business of a child.
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|XDG_[A-Z_]+|SSL_CERT_(FILE|DIR)|(https?|no|all)_proxy)$/i;

/** Programs of this machine. A child that does not end within the grace after the gentle signal is ended hard. */
export function systemProcesses(graceMs = 10_000): Processes {
  return { run: (command, signal) => runToEnd(command, graceMs, signal) };
}

async function runToEnd(command: Command, graceMs: number, signal: AbortSignal): Promise<Finished> {
  signal.throwIfAborted();
  const child = start(command);
  const endGently = () => end(child, graceMs);
  signal.addEventListener("abort", endGently, { once: true });
  try {
    if (command.onErrorLine) createInterface({ input: child.stderr }).on("line", command.onErrorLine);
    const [stdout, stderr, exitCode] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      exitOf(child, command),
      feed(child, command, signal),
    ]);
    signal.throwIfAborted();
    return { exitCode, stdout, stderr };
  } finally {
    signal.removeEventListener("abort", endGently);
    if (child.exitCode === null && child.signalCode === null) signalGroup(child, "SIGKILL");
  }
}

// A group of its own: a Ctrl-C at the terminal reaches the agent alone, which then ends its children in good order.
function start({ argv, environment }: Command): ChildProcessWithoutNullStreams {
  const [program = "", ...rest] = argv;
  const inherited = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  return spawn(program, rest, {
    env: { ...Object.fromEntries(inherited), ...environment },
    stdio: "pipe",
    detached: true,
  });
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

async function feed(child: ChildProcessWithoutNullStreams, { input }: Command, signal: AbortSignal): Promise<void> {
  try {
    await pipeline(Readable.from(typeof input === "string" ? [input] : (input ?? [])), child.stdin, { signal });
  } catch (cause) {
    // A program may end without reading all of its input: its exit code tells what that means.
    if (cause instanceof Error && "code" in cause && cause.code === "EPIPE") return;
    if (signal.aborted) return;
    end(child, 0);
    throw cause;
  }
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
