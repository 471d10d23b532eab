import { AgentError } from "../model/errors.ts";
import type { Finished, Processes } from "../model/ports.ts";

/** Programs of the storage, each call to its end. */
export type Programs = {
  /** What it printed; throws unless it ended well. `doing` is for messages: `Cannot <doing>: …`. */
  run(argv: readonly string[], doing: string, signal: AbortSignal): Promise<string>;
  /** How it ended, be it well or not. */
  attempt(argv: readonly string[], doing: string, signal: AbortSignal): Promise<Finished>;
};

export function storagePrograms(processes: Processes): Programs {
  const attempt: Programs["attempt"] = async (argv, doing, signal) => {
    try {
      return await processes.run({ argv, environment: { LC_ALL: "C" } }, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (!(cause instanceof AgentError && cause.code === "files.unusable")) throw cause;
      throw new AgentError("storage.unusable", `Cannot ${doing}: ${cause.message}`, {
        hint: `install ${argv[0]} (btrfs-progs, zfsutils-linux, util-linux) or see that it is on the PATH; or read with "export"`,
        cause,
      });
    }
  };
  return {
    attempt,
    run: async (argv, doing, signal) => {
      const finished = await attempt(argv, doing, signal);
      if (finished.exitCode !== 0) throw programFailure(finished, argv, doing);
      return finished.stdout;
    },
  };
}

/** Why a program ended badly, in its own words. */
export function programFailure(finished: Finished, argv: readonly string[], doing: string): AgentError {
  const said =
    finished.stderr.trim() || finished.stdout.trim() || `${argv[0]} ended with exit code ${finished.exitCode}`;
  const hint = /permission denied|not permitted|must be (run as )?root/i.test(said)
    ? { hint: "reading from snapshots of the storage takes root: see docs/offsite.md" }
    : {};
  return new AgentError("storage.unusable", `Cannot ${doing}: ${said.replace(/^(ERROR|cannot [^:]*): /, "")}`, hint);
}
