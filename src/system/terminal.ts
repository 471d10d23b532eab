import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import type { ReadStream, WriteStream } from "node:tty";
import { AgentError } from "../model/errors.ts";
import type { Terminal } from "../model/ports.ts";
import type { Console } from "./console.ts";

type Streams = { readonly stdin: ReadStream; readonly stdout: WriteStream; readonly stderr: WriteStream };

const COLUMNS_OF_A_PIPE = 120;

/** The terminal this process was started in, as far as it has one. */
export function openTerminal({ stdin, stdout, stderr }: Streams, console: Console): Terminal {
  return {
    stdinIsTerminal: stdin.isTTY === true,
    stdoutIsTerminal: stdout.isTTY === true,
    stderrIsTerminal: stderr.isTTY === true,
    columns: stdout.columns ?? COLUMNS_OF_A_PIPE,
    draw: console.draw,
    tell: console.printError,
    ask: (question, { hidden }, signal) => ask(stdin, stderr, question, hidden, signal),
    readInput: async (signal) => {
      const end = () => stdin.destroy();
      signal.addEventListener("abort", end, { once: true });
      try {
        const input = await text(stdin);
        signal.throwIfAborted();
        return input;
      } finally {
        signal.removeEventListener("abort", end);
      }
    },
  };
}

// readline echoes through its output: a hidden answer gets one that swallows everything.
async function ask(
  stdin: ReadStream,
  stderr: WriteStream,
  question: string,
  hidden: boolean,
  signal: AbortSignal,
): Promise<string> {
  const swallow = new Writable({ write: (_chunk, _encoding, done) => done() });
  const reader = createInterface({ input: stdin, output: hidden ? swallow : stderr, terminal: stdin.isTTY === true });
  // Only now does the terminal echo nothing by itself: who is asked sooner may answer too soon, and be seen.
  if (hidden) stderr.write(question);
  try {
    return await new Promise<string>((resolve, reject) => {
      reader.question(hidden ? "" : question, { signal }, resolve);
      reader.once("close", () => reject(new AgentError("cancelled", "The question was not answered")));
      reader.once("SIGINT", () => reader.close());
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  } finally {
    reader.close();
    if (hidden) stderr.write("\n");
  }
}
