import { AgentError } from "../../../src/model/errors.ts";
import type { Command, Finished, LogFacts, World } from "../../../src/model/ports.ts";
import type { EpochMs } from "../../../src/model/time.ts";
import { outputVia } from "./output-via.ts";

export type LogLine = { readonly level: string; readonly event: string; readonly facts: LogFacts };

export type MemoryWorld = World & {
  readonly texts: Map<string, string>;
  readonly logged: LogLine[];
  readonly printed: string[];
  readonly drawn: string[];
  /** What was said and asked at the terminal. */
  readonly said: string[];
  /** Sets the clock. */
  readonly moveTo: (at: EpochMs) => void;
  /** What the kernel does for a process that was killed: its locks are free. */
  readonly forgetLocks: () => void;
  /** What a signal to the process does. */
  readonly interrupt: (reason: "SIGINT" | "SIGTERM") => void;
};

type Options = {
  readonly now?: EpochMs;
  readonly files?: Readonly<Record<string, string>>;
  /** Who may use a file, where that is not its owner alone. */
  readonly modes?: Readonly<Record<string, number>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly answers?: readonly string[];
  readonly input?: string;
  readonly onTerminal?: boolean;
  readonly processes?: (command: Command) => Promise<Finished>;
};

/** A world of its own for each test. */
export function memoryWorld(options: Options = {}): MemoryWorld {
  let now = options.now ?? Date.UTC(2026, 10, 20, 4, 0, 0);
  const ending = new AbortController();
  const texts = new Map(Object.entries(options.files ?? {}));
  const answers = [...(options.answers ?? [])];
  const logged: LogLine[] = [];
  const printed: string[] = [];
  const drawn: string[] = [];
  const said: string[] = [];
  const locked = new Set<string>();
  const told = new Map<string, () => string>();
  const logAt =
    (level: string) =>
    (event: string, facts: LogFacts = {}) =>
      void logged.push({ level, event, facts });
  const run: World["processes"]["run"] = async (command, signal) => {
    signal.throwIfAborted();
    if (!options.processes) throw new AgentError("files.unusable", `Cannot run ${command.argv[0]}: no such program`);
    return options.processes(command);
  };
  return {
    texts,
    logged,
    printed,
    drawn,
    said,
    moveTo: (at) => {
      now = at;
    },
    forgetLocks: () => {
      locked.clear();
      told.clear();
    },
    interrupt: (reason) => ending.abort(reason),
    clock: {
      now: () => now,
      sleep: async (durationMs, signal) => {
        signal.throwIfAborted();
        now += durationMs;
      },
    },
    files: memoryFiles(texts, locked, options.modes ?? {}),
    locks: {
      take: async (name, tell) => {
        if (told.has(name)) throw new AgentError("lock.held", `Another run holds the lock of ${name}: this test`);
        told.set(name, tell);
        return { release: async () => void told.delete(name) };
      },
      ask: async (name) => told.get(name)?.(),
    },
    processes: { run, output: outputVia(run) },
    log: { debug: logAt("debug"), info: logAt("info"), warn: logAt("warn"), error: logAt("error") },
    terminal: {
      stdinIsTerminal: options.onTerminal ?? false,
      stdoutIsTerminal: options.onTerminal ?? false,
      stderrIsTerminal: options.onTerminal ?? false,
      columns: 120,
      tell: (text) => void said.push(text),
      ask: async (question) => {
        said.push(question);
        const answer = answers.shift();
        if (answer === undefined) throw new AgentError("cancelled", "The question was not answered");
        return answer;
      },
      readInput: async () => options.input ?? "",
      draw: (line) => void drawn.push(line),
    },
    environment: options.environment ?? {},
    print: (text) => void printed.push(text),
    signal: ending.signal,
  };
}

function memoryFiles(
  texts: Map<string, string>,
  locked: Set<string>,
  modes: Readonly<Record<string, number>>,
): World["files"] {
  return {
    read: async (path) => {
      const text = texts.get(path);
      if (text === undefined) {
        throw new AgentError("files.unusable", `Cannot read ${path}: there is no such file or folder`);
      }
      return text;
    },
    exists: async (path) => texts.has(path),
    mode: async (path) => modes[path] ?? 0o100600,
    holder: async (path) => (locked.has(path) ? "this test" : undefined),
    list: async (folder) =>
      [...texts.keys()].filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1)),
    writePrivate: async (path, text) => void texts.set(path, text),
    privateFolder: async () => {},
    remove: async (path) => void texts.delete(path),
    lock: async (path) => {
      if (locked.has(path)) throw new AgentError("lock.held", `Another run holds the lock of ${path}: this test`);
      locked.add(path);
      return { release: async () => void locked.delete(path) };
    },
  };
}
