import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import type { Mark } from "./holder.ts";
import { type Programs, programFailure } from "./programs.ts";

/** A dataset as far as reading it goes. */
export type Dataset = {
  readonly name: string;
  readonly type: "filesystem" | "volume";
  readonly sizeBytes: number | undefined;
  /** The dataset whose key has to be loaded first; undefined where it can be read. */
  readonly lockedBy: string | undefined;
};

export type MarkedThing = Mark & { readonly name: string; readonly kind: "snapshot" | "clone" };

/** `zfs`, `mount` and `umount`, in our words. */
export type Zfs = {
  /** A dataset and all below it; none where there is no such. */
  datasets(root: string, signal: AbortSignal): Promise<readonly Dataset[]>;
  /** One snapshot of all of them at one moment, or none at all. They are in one zpool. */
  snapshot(datasets: readonly string[], name: string, mark: Mark, signal: AbortSignal): Promise<void>;
  /** A read-only volume with the content of a snapshot. */
  clone(snapshot: string, name: string, mark: Mark, signal: AbortSignal): Promise<void>;
  /** Everything that bears a mark of its own, on all zpools. A mark that was inherited, or came with a stream, is none. */
  marked(signal: AbortSignal): Promise<readonly MarkedThing[]>;
  mount(snapshot: string, folder: string, signal: AbortSignal): Promise<void>;
  unmount(folder: string, signal: AbortSignal): Promise<void>;
  remove(thing: Pick<MarkedThing, "name" | "kind">, signal: AbortSignal): Promise<void>;
};

const OWNER = "iab:owner";
const RUN = "iab:run";
const HOLDER = "iab:holder";

/** What the names of all that we make begin with: only to look for the marks of few things rather than of all. */
export const PREFIX = "iab-";

/** udev looks at every new volume, and a program that was ended takes its time to let go. */
const BUSY_MS = 30 * SECOND_MS;
const BUSY_STEP_MS = 250;
const NAMES_AT_ONCE = 500;

export function zfsVia(programs: Programs, clock: Clock): Zfs {
  const untilFree = async (argv: readonly string[], doing: string, signal: AbortSignal) => {
    const until = clock.now() + BUSY_MS;
    for (;;) {
      const finished = await programs.attempt(argv, doing, signal);
      if (finished.exitCode === 0) return;
      if (!/\bbusy\b/.test(finished.stderr) || clock.now() >= until) throw programFailure(finished, argv, doing);
      await clock.sleep(BUSY_STEP_MS, signal);
    }
  };
  return {
    datasets: async (root, signal) => {
      const fields = "name,type,volsize,encryptionroot,keystatus";
      const argv = ["zfs", "list", "-H", "-p", "-t", "filesystem,volume", "-o", fields, "-r", root];
      const doing = `list the datasets of ${root}`;
      const finished = await programs.attempt(argv, doing, signal);
      if (/dataset does not exist/.test(finished.stderr)) return [];
      if (finished.exitCode !== 0) throw programFailure(finished, argv, doing);
      return rowsOf(finished.stdout).map(datasetOf);
    },
    snapshot: async (datasets, name, mark, signal) => {
      const argv = ["zfs", "snapshot", ...properties(mark), ...datasets.map((dataset) => `${dataset}@${name}`)];
      await programs.run(argv, `take a snapshot of ${datasets.length} datasets`, signal);
    },
    clone: async (snapshot, name, mark, signal) => {
      // A snapshot service that takes one of the clone as well would have it stay for ever.
      const mode = ["-o", "volmode=dev", "-o", "readonly=on", "-o", "com.sun:auto-snapshot=false"];
      await programs.run(["zfs", "clone", ...mode, ...properties(mark), snapshot, name], `read ${snapshot}`, signal);
    },
    marked: (signal) => marked(programs, signal),
    mount: async (snapshot, folder, signal) => {
      const argv = ["mount", "-t", "zfs", "-o", "ro,nosuid,nodev,noexec", snapshot, folder];
      await programs.run(argv, `mount ${snapshot}`, signal);
    },
    unmount: (folder, signal) => untilFree(["umount", folder], `unmount ${folder}`, signal),
    remove: async ({ name, kind }, signal) => {
      // Without the @ this would be a dataset with all that is in it.
      if ((kind === "snapshot") !== name.includes("@")) throw new Error(`${name} is not a ${kind}`);
      await untilFree(["zfs", "destroy", name], `remove the ${kind} ${name}`, signal);
    },
  };
}

function properties({ owner, run, holder }: Mark): string[] {
  return ["-o", `${OWNER}=${owner}`, "-o", `${RUN}=${run}`, "-o", `${HOLDER}=${holder}`];
}

async function marked(programs: Programs, signal: AbortSignal): Promise<readonly MarkedThing[]> {
  const list = ["zfs", "list", "-H", "-o", "name", "-t", "snapshot,volume"];
  const all = rowsOf(await someOf(programs, list, /no datasets available/, signal)).map(([name = ""]) => name);
  const likely = all.filter((name) =>
    name.slice(Math.max(name.indexOf("@"), name.lastIndexOf("/")) + 1).startsWith(PREFIX),
  );
  const found = new Map<string, Map<string, string>>();
  for (let at = 0; at < likely.length; at += NAMES_AT_ONCE) {
    const fields = ["-s", "local", "-o", "name,property,value", [OWNER, RUN, HOLDER].join(",")];
    const get = ["zfs", "get", "-H", "-p", ...fields, ...likely.slice(at, at + NAMES_AT_ONCE)];
    for (const [name = "", property = "", value = ""] of rowsOf(
      await someOf(programs, get, /does not exist/, signal),
    )) {
      found.set(name, (found.get(name) ?? new Map<string, string>()).set(property, value));
    }
  }
  return [...found].flatMap(([name, marks]) => {
    const [owner, run, holder] = [marks.get(OWNER), marks.get(RUN), marks.get(HOLDER)];
    if (owner === undefined || run === undefined || holder === undefined) return [];
    return [{ name, kind: name.includes("@") ? "snapshot" : "clone", owner, run, holder }];
  });
}

/** What a listing says of those that are there, where some may vanish meanwhile. */
async function someOf(
  programs: Programs,
  argv: readonly string[],
  mayMiss: RegExp,
  signal: AbortSignal,
): Promise<string> {
  const doing = "look for what is ours";
  const finished = await programs.attempt(argv, doing, signal);
  const failures = finished.stderr.split("\n").filter((line) => line.trim() !== "" && !mayMiss.test(line));
  if (finished.exitCode !== 0 && failures.length > 0) throw programFailure(finished, argv, doing);
  return finished.stdout;
}

function datasetOf([name = "", type, size = "", root = "", key]: readonly string[]): Dataset {
  if (type !== "filesystem" && type !== "volume") {
    throw new AgentError("storage.unusable", `Cannot understand what zfs list says of ${name}: ${type}`);
  }
  const lockedBy = root === "-" || key === "available" ? undefined : root;
  return { name, type, sizeBytes: size === "-" ? undefined : Number(size), lockedBy };
}

function rowsOf(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}
