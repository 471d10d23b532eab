import { AgentError } from "../model/errors.ts";
import type { Command, Finished, Processes } from "../model/ports.ts";
import type { Secret } from "../model/secret.ts";
import { MINUTE_MS, SECOND_MS } from "../model/time.ts";
import { kopiaFailure } from "./failures.ts";

/** One call of Kopia. */
export type Call = {
  readonly args: readonly string[];
  /** For messages: `Cannot <doing>: …`. */
  readonly doing: string;
  /** What of a line of stderr shows that the work gets on; without it nothing does, and the limit is for the whole. */
  readonly movementOf?: (line: string) => string | undefined;
  /** The limit, where it is not that of the client. */
  readonly idleMs?: number;
  readonly onErrorLine?: (line: string) => void;
} & Pick<Command, "input" | "toOurStdout" | "graceMs">;

/** Kopia, told which repository it is to work on. */
export type Client = {
  /** What it printed; throws unless it ended well. */
  run(call: Call, signal: AbortSignal): Promise<string>;
  /** How it ended, be it well or not. */
  attempt(call: Call, signal: AbortSignal): Promise<Finished>;
  /** What it writes, as it is read; throws at the end unless it ended well. */
  read(call: Call, signal: AbortSignal): AsyncGenerator<Uint8Array>;
};

export type ClientOptions = {
  readonly program: string;
  readonly configFile: string;
  readonly logFolder: string;
  readonly password: Secret;
  readonly processes: Processes;
  /** After so long without any movement Kopia is ended. It does not give up by itself on a storage that is silent. */
  readonly idleMs: number;
};

/** What a question may take at most that is answered at once or not at all. */
const ANSWER_MS = 2 * MINUTE_MS;
/** The shortest way to hear from a storage what is wrong with it. */
const QUESTION: Call = { args: ["repository", "status", "--json"], doing: "open the repository" };

/** Opens nothing yet: each call is a process of its own. */
export function kopiaClient(options: ClientOptions): Client {
  const attempt = (call: Call, signal: AbortSignal) => watched(call, options, signal);
  return {
    attempt,
    read: (call, signal) => readWatched(call, options, signal),
    run: async (call, signal) => {
      const { exitCode, stdout, stderr } = await attempt(call, signal);
      if (exitCode !== 0) throw kopiaFailure(stderr, call.doing);
      return stdout;
    },
  };
}

async function watched(call: Call, options: ClientOptions, signal: AbortSignal): Promise<Finished> {
  const { movementOf, doing } = call;
  const idleMs = call.idleMs ?? (movementOf === undefined ? Math.min(ANSWER_MS, options.idleMs) : options.idleMs);
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(), idleMs);
  let last: string | undefined;
  const onErrorLine = (line: string) => {
    const movement = movementOf?.(line);
    if (movement !== undefined && movement !== last) timer.refresh();
    last = movement ?? last;
    call.onErrorLine?.(line);
  };
  const input = refreshing(call.input, () => timer.refresh());
  try {
    const streams = input === undefined ? {} : { input };
    const command = { ...commandOf(call, options), ...streams, killOn: silent.signal, onErrorLine };
    return await options.processes.run(command, AbortSignal.any([signal, silent.signal]));
  } catch (cause) {
    signal.throwIfAborted();
    if (!silent.signal.aborted) throw inOurWords(cause, options);
    throw await whySilent(silence(doing, idleMs, cause), call, options, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Kopia tries again and again what fails, and says nothing of it: the storage itself may say why when it is asked once. */
async function whySilent(
  error: AgentError,
  call: Call,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<AgentError> {
  if (call.movementOf === undefined) return error;
  const [asked] = await Promise.allSettled([watched(QUESTION, options, signal)]);
  signal.throwIfAborted();
  if (asked.status === "rejected" || asked.value.exitCode === 0) return error;
  return kopiaFailure(asked.value.stderr, call.doing);
}

/** The time runs only while Kopia is waited for: who takes what it writes may take his own. */
async function* readWatched(call: Call, options: ClientOptions, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { idleMs = options.idleMs, doing } = call;
  const silent = new AbortController();
  const parts = options.processes.output(commandOf(call, options), AbortSignal.any([signal, silent.signal]));
  let timer: NodeJS.Timeout | undefined;
  try {
    for (;;) {
      timer = setTimeout(() => silent.abort(), idleMs);
      const next = await parts.next();
      clearTimeout(timer);
      if (!next.done) yield next.value;
      else if (next.value.exitCode !== 0) throw kopiaFailure(next.value.stderr, doing);
      else return;
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw silent.signal.aborted ? silence(doing, idleMs, cause) : inOurWords(cause, options);
  } finally {
    clearTimeout(timer);
    await parts.return({ exitCode: 0, stdout: "", stderr: "" });
  }
}

function commandOf(call: Call, { program, configFile, logFolder, password }: ClientOptions): Command {
  const { args, toOurStdout, graceMs } = call;
  return {
    argv: [program, `--config-file=${configFile}`, `--log-dir=${logFolder}`, ...args],
    environment: {
      KOPIA_PASSWORD: password.reveal(),
      KOPIA_CHECK_FOR_UPDATES: "false",
      KOPIA_PERSIST_CREDENTIALS_ON_CONNECT: "false",
      KOPIA_USE_KEYRING: "false",
      KOPIA_DISABLE_COLOR: "true",
    },
    ...(toOurStdout === undefined ? {} : { toOurStdout }),
    ...(graceMs === undefined ? {} : { graceMs }),
  };
}

/** A stream that Kopia goes on taking shows that it gets on; Kopia's own figures are too coarse for large ones. */
function refreshing(input: Command["input"], onChunk: () => void): Command["input"] {
  if (input === undefined || typeof input === "string") return input;
  return (async function* () {
    for await (const chunk of input) {
      onChunk();
      yield chunk;
    }
  })();
}

function silence(doing: string, idleMs: number, cause: unknown): AgentError {
  const span =
    idleMs < 2 * MINUTE_MS ? `${idleMs / SECOND_MS} seconds` : `${Number((idleMs / MINUTE_MS).toFixed(1))} minutes`;
  return new AgentError("kopia.silent", `Cannot ${doing}: Kopia made no progress for ${span}, and was ended`, {
    hint: "check that the storage answers, and that the keys may list what is in it",
    cause,
  });
}

/** That there is no Kopia is a failure of its own; all else is what it is. */
function inOurWords(cause: unknown, { program }: ClientOptions): unknown {
  if (!(cause instanceof AgentError && cause.code === "files.unusable")) return cause;
  return new AgentError("kopia.failed", cause.message, {
    hint: `install Kopia 0.21 or newer, or say with $IAB_KOPIA where it is (now: ${program})`,
    cause,
  });
}
