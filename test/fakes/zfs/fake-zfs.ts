import { AgentError } from "../../../src/model/errors.ts";
import type { Clock, Disks, Files, Finished, Processes } from "../../../src/model/ports.ts";
import { outputVia } from "../world/output-via.ts";
import { FakeFailure, zfsCommand } from "./commands.ts";
import { machineFiles } from "./machine-files.ts";
import { emptyState, type FakeDataset, type ZfsState } from "./state.ts";

/** A machine with ZFS in memory. */
export type FakeZfs = ZfsState & {
  readonly processes: Processes;
  readonly files: Files;
  readonly disks: Disks;
  readonly clock: Clock;
  /** Every command line so far. */
  readonly commands: string[];
  /** How often something was changed so far, or a program run. */
  effects: number;
  /** Kills the agent: before an effect of that number is begun, or once it is done. */
  killAt: { readonly effect: number; readonly when: "before" | "after" } | undefined;
  /** Called before each command, to have somebody else do something meanwhile. */
  meanwhile: (argv: readonly string[]) => void;
  add(name: string, dataset: Partial<FakeDataset>): void;
  /** What is there of snapshots, of what is mounted, of volumes, and of folders of ours: for comparing. */
  everything(): readonly string[];
  /** A new process in place of one that was killed. */
  begin(): void;
};

/** What the agent is thrown when it is killed; nothing that it does afterwards has any effect. */
export class Killed extends Error {
  override readonly name = "Killed";
}

export function fakeZfs(): FakeZfs {
  const state = emptyState();
  let dead = false;
  let now = 0;
  const effect = async <T>(work: () => T): Promise<T> => {
    if (dead) throw new Killed();
    const number = machine.effects++;
    const strike = (when: "before" | "after") => {
      if (machine.killAt?.effect !== number || machine.killAt.when !== when) return;
      dead = true;
      throw new Killed();
    };
    strike("before");
    const result = work();
    strike("after");
    return result;
  };
  const machine: FakeZfs = {
    ...state,
    commands: [],
    effects: 0,
    killAt: undefined,
    meanwhile: () => {},
    processes: {
      run: (command, signal) => effect(() => run(command.argv, signal)),
      output: outputVia((command, signal) => effect(() => run(command.argv, signal))),
    },
    ...machineFiles(state, effect),
    clock: {
      now: () => now,
      sleep: async (durationMs, signal) => {
        signal.throwIfAborted();
        now += durationMs;
      },
    },
    add: (name, dataset) => void state.datasets.set(name, { ...EMPTY, marks: new Map(), ...dataset }),
    everything: () =>
      [
        ...state.datasets.keys(),
        ...state.snapshots.keys(),
        ...state.mounts.map(({ source, path }) => `${source} on ${path}`),
        ...state.folders,
      ].sort(),
    begin: () => {
      dead = false;
      machine.killAt = undefined;
      machine.effects = 0;
      state.process.start += 1;
    },
  };
  return machine;

  function run(argv: readonly string[], signal: AbortSignal): Finished {
    signal.throwIfAborted();
    machine.commands.push(argv.join(" "));
    machine.meanwhile(argv);
    if (state.missing.has(argv[0] ?? "")) {
      throw new AgentError("files.unusable", `Cannot run ${argv[0]}: spawn ${argv[0]} ENOENT`);
    }
    try {
      return { exitCode: 0, stdout: zfsCommand(argv, state), stderr: "" };
    } catch (error) {
      if (error instanceof FakeFailure) return { exitCode: 1, stdout: error.stdout, stderr: `${error.message}\n` };
      throw error;
    }
  }
}

const EMPTY: FakeDataset = {
  type: "filesystem",
  content: "",
  encryptionRoot: undefined,
  keyLoaded: true,
  origin: undefined,
  volmode: "none",
  busyFor: 0,
  marks: new Map(),
};
