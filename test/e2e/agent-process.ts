import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import type { Ended } from "./site.ts";

const BUNDLE = resolve("dist/iab.mjs");

/** The agent as a process of its own: the bundle that `buildAgent()` made. */
export type AgentProcess = {
  kill(signal: NodeJS.Signals): void;
  /** Resolves once what it has written to stderr matches; throws if it ends before. */
  heard(pattern: RegExp): Promise<void>;
  /** Its exit code is -1 where a signal has killed it. */
  readonly ended: Promise<Ended>;
};

type Options = { readonly cwd?: string; readonly environment?: Readonly<Record<string, string>> };

export function startAgent(argv: readonly string[], { environment, ...options }: Options = {}): AgentProcess {
  const child = spawn(process.execPath, [BUNDLE, ...argv], {
    ...options,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  }
  const ended = once(child, "close").then(([code]) => ({ exitCode: Number(code ?? -1), ...texts }));
  const heard = async (pattern: RegExp) => {
    while (!pattern.test(texts.stderr)) {
      const over = ended.then(({ exitCode }) => {
        throw new Error(`The agent ended with ${exitCode} before it said ${pattern}: ${texts.stderr}`);
      });
      await Promise.race([once(child.stderr, "data"), over]);
    }
  };
  return { kill: (signal) => void child.kill(signal), heard, ended };
}
