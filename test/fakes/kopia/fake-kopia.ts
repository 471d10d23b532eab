import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { Command, Finished, Processes } from "../../../src/model/ports.ts";
import { outputVia } from "../world/output-via.ts";

export type FakeKopia = Processes & {
  /** What was put into the repository, in its order. */
  readonly backups: Made[];
  /** Every command line so far, without the program and the flags of all. */
  readonly calls: string[];
  /** What it says on stderr before it ends with 1, for the first call that begins so. */
  readonly failing: Map<string, string>;
  /** How long it takes for each chunk of a stream. */
  chunkMs: number;
};

type Made = {
  readonly id: string;
  readonly source: { readonly host: string; readonly userName: string; readonly path: string };
  readonly description: string;
  readonly startTime: string;
  readonly endTime: string;
  readonly incomplete?: string;
  readonly tags: Record<string, string>;
  readonly rootEntry: object;
  readonly content: string;
};

/** Kopia with one repository, in memory. */
export function fakeKopia(now: () => number): FakeKopia {
  let policies = {};
  const fake: FakeKopia = {
    backups: [],
    calls: [],
    failing: new Map(),
    chunkMs: 0,
    run: async (command, signal) => {
      signal.throwIfAborted();
      const args = command.argv.filter((word) => !/^--(config-file|log-dir)=/.test(word)).slice(1);
      const line = args.join(" ");
      fake.calls.push(line);
      const failing = [...fake.failing].find(([start]) => line.startsWith(start));
      if (failing !== undefined) return { exitCode: 1, stdout: "", stderr: failing[1] };
      return answer(args, command, signal);
    },
    output: (command, signal) => outputVia(fake.run)(command, signal),
  };
  return fake;

  async function answer(args: readonly string[], command: Command, signal: AbortSignal): Promise<Finished> {
    const [noun, verb] = args;
    switch (`${noun} ${verb}`) {
      case "repository status":
        return printed({ clientOptions: { hostname: "h", username: "u" }, storage: { type: "filesystem" } });
      case "policy export":
        return printed(policies);
      case "policy import":
        policies = { ...policies, ...JSON.parse(String(command.input)) };
        return printed({});
      case "policy set":
        return { exitCode: 1, stdout: "", stderr: `enum value must be one of ${namesFor(args)}, got '?', try --help` };
      case "snapshot list":
        return printed(fake.backups);
      case "snapshot create":
        return create(args, command, signal);
      case `show ${verb}`:
        return printed(fake.backups.find(({ id }) => verb?.startsWith(`k${id}/`))?.content ?? "");
      case "snapshot expire":
        return printed("");
      case "maintenance info":
        return printed({ owner: "iab@host1", schedule: { runs: {} } });
      case "maintenance run":
        return printed("");
      default:
        return { exitCode: 1, stdout: "", stderr: `kopia: error: the fake knows no ${noun} ${verb}` };
    }
  }

  async function create(args: readonly string[], { input }: Command, signal: AbortSignal): Promise<Finished> {
    const flag = (name: string) => args.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
    const [owner = "", path = ""] = (flag("override-source") ?? "").split(":");
    const [userName = "", host = ""] = owner.split("@");
    const tags = args.filter((word) => word.startsWith("--tags=")).map((word) => `tag:${word.slice("--tags=".length)}`);
    const chunks: Uint8Array[] = [];
    let incomplete = {};
    try {
      for await (const chunk of typeof input === "object" ? input : []) {
        await setTimeout(fake.chunkMs, undefined, { signal });
        chunks.push(chunk);
      }
    } catch (error) {
      // A stream that breaks takes Kopia with it; one that is to end leaves what it got so far.
      if (!signal.aborted) throw error;
      incomplete = { incomplete: "canceled" };
    }
    const content = Buffer.concat(chunks).toString();
    const at = new Date(now()).toISOString();
    const id = randomBytes(16).toString("hex");
    const made = {
      id,
      source: { host, userName, path },
      description: flag("description") ?? "",
      startTime: at,
      endTime: at,
      ...incomplete,
      tags: Object.fromEntries(
        tags.map((tag) => [tag.split(":").slice(0, 2).join(":"), tag.split(":").slice(2).join(":")]),
      ),
      rootEntry: { obj: `k${id}`, summ: { size: content.length, files: 1, numFailed: 0 } },
      content,
    };
    fake.backups.push(made);
    signal.throwIfAborted();
    return printed(made);
  }
}

function namesFor(args: readonly string[]): string {
  return args.includes("--splitter=?") ? "DYNAMIC-256K-BUZHASH,inherit" : "inherit,none,zstd-fastest";
}

function printed(what: unknown): Finished {
  return { exitCode: 0, stdout: typeof what === "string" ? what : JSON.stringify(what), stderr: "" };
}
