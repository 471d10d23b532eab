import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { AgentError } from "../model/errors.ts";
import type { Command } from "../model/ports.ts";

// Our own environment may hold secrets that are no business of a child.
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|XDG_[A-Z_]+|SSL_CERT_(FILE|DIR)|(https?|no|all)_proxy)$/i;

export type Child = ChildProcess & {
  readonly stdin: Writable;
  readonly stdout: Readable | null;
  readonly stderr: Readable;
};

/** Starts a program, in a group of its own: a Ctrl-C reaches the agent alone, which then ends its children in order. */
export function startChild(command: Command, output?: number): Child {
  const { environment, toOurStdout } = command;
  const [program = "", ...rest] = argvOf(command);
  const inherited = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  const options = { env: { ...Object.fromEntries(inherited), ...environment }, detached: true };
  if (output !== undefined) return spawn(program, rest, { ...options, stdio: ["pipe", output, "pipe"] }) as Child;
  return toOurStdout
    ? spawn(program, rest, { ...options, stdio: ["pipe", "inherit", "pipe"] })
    : spawn(program, rest, { ...options, stdio: ["pipe", "pipe", "pipe"] });
}

/**
 * A stream that ends because we were killed is not whole either: the kernel then kills who reads it, before he can see an
 * end. `setpriv` is of util-linux, which every Debian has.
 */
function argvOf({ argv, input }: Command): readonly string[] {
  const readsStream = input !== undefined && typeof input !== "string";
  return readsStream ? ["setpriv", "--pdeathsig", "KILL", "--", ...argv] : argv;
}

/** The exit code of a child, once it and its pipes have ended. */
export function exitOf(child: ChildProcess, { argv }: Command): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      reject(new AgentError("files.unusable", `Cannot run ${argv[0]}: ${cause.message}`, { cause }));
    });
    // As shells have it: 128 and the number of the signal that ended it.
    child.once("close", (code, ended) => resolve(code ?? 128 + (ended === null ? 0 : constants.signals[ended])));
  });
}

/** Ends a child gently, and hard after the grace. */
export function endChild(child: ChildProcess, graceMs: number): void {
  signalGroup(child, "SIGTERM");
  const timer = setTimeout(() => signalGroup(child, "SIGKILL"), graceMs);
  child.once("close", () => clearTimeout(timer));
}

/** Ends a child that has not ended yet, hard. */
export function killChild(child: ChildProcess): void {
  if (child.exitCode === null && child.signalCode === null) signalGroup(child, "SIGKILL");
}

export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (cause) {
    // The group has gone already.
    if (!(cause instanceof Error && "code" in cause && cause.code === "ESRCH")) throw cause;
  }
}
