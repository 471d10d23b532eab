import { AgentError } from "../model/errors.ts";
import type { Programs } from "./programs.ts";

/** A subvolume, as a listing of its whole file system has it. */
export type Subvolume = {
  readonly id: string;
  readonly uuid: string;
  /** What it is a snapshot of; undefined where it is none. */
  readonly parentUuid: string | undefined;
  /** From the top of the file system, whatever part of it is mounted. */
  readonly path: string;
};

/** `btrfs`, in our words. All paths are of this machine but those of listings. */
export type Btrfs = {
  /** Every subvolume of the file system that the folder is in. */
  list(folder: string, signal: AbortSignal): Promise<readonly Subvolume[]>;
  /** One that is there. */
  show(path: string, signal: AbortSignal): Promise<Subvolume>;
  /** A snapshot of one subvolume at one moment, without those that lie in it. */
  snapshot(source: string, target: string, mode: "read-only" | "writable", signal: AbortSignal): Promise<void>;
  setMode(path: string, mode: "read-only" | "writable", signal: AbortSignal): Promise<void>;
  remove(path: string, signal: AbortSignal): Promise<void>;
};

export function btrfsVia(programs: Programs): Btrfs {
  return {
    list: async (folder, signal) => {
      const argv = ["btrfs", "subvolume", "list", "-a", "-q", "-u", folder];
      return parseList(await programs.run(argv, `list the subvolumes of ${folder}`, signal));
    },
    show: async (path, signal) => {
      const doing = `look at the subvolume ${path}`;
      return parseShow(await programs.run(["btrfs", "subvolume", "show", path], doing, signal), path);
    },
    snapshot: async (source, target, mode, signal) => {
      const flags = mode === "read-only" ? ["-r"] : [];
      const argv = ["btrfs", "subvolume", "snapshot", ...flags, source, target];
      await programs.run(argv, `take a snapshot of ${source}`, signal);
    },
    setMode: async (path, mode, signal) => {
      const argv = ["btrfs", "property", "set", "-ts", path, "ro", String(mode === "read-only")];
      await programs.run(argv, `make ${path} ${mode}`, signal);
    },
    remove: async (path, signal) => {
      await programs.run(["btrfs", "subvolume", "delete", path], `delete the snapshot ${path}`, signal);
    },
  };
}

const LISTED = /^ID (\d+) gen \d+ top level \d+ parent_uuid\s+(\S+)\s+uuid\s+(\S+)\s+path (?:<FS_TREE>\/)?(.*)$/s;
const NEXT = /\n(?=ID \d+ gen \d+ top level \d+ parent_uuid\s+\S+\s+uuid\s+\S+\s+path )/;

/** What `btrfs subvolume list -a -q -u` prints. A name may hold line breaks, so a line ends where the next entry begins. */
export function parseList(text: string): Subvolume[] {
  return text
    .replace(/\n$/, "")
    .split(NEXT)
    .filter((entry) => entry !== "")
    .map((entry) => {
      const [, id = "", parent = "", uuid = "", path = ""] = LISTED.exec(entry) ?? unreadable("list", entry);
      return { id, uuid, parentUuid: parent === "-" ? undefined : parent, path };
    });
}

/** What `btrfs subvolume show` prints. */
export function parseShow(text: string, path: string): Subvolume {
  const fact = (name: string) => new RegExp(`^\\s+${name}:\\s*(\\S+)$`, "m").exec(text)?.[1];
  const [id, uuid, parent] = [fact("Subvolume ID"), fact("UUID"), fact("Parent UUID")];
  if (id === undefined || uuid === undefined) throw unreadable("show", `${path}: ${text}`);
  const [first = ""] = text.split("\n");
  return { id, uuid, parentUuid: parent === "-" ? undefined : parent, path: first === "/" ? "" : first };
}

function unreadable(command: string, text: string): never {
  const shown = JSON.stringify(text.slice(0, 200));
  throw new AgentError("storage.unusable", `Cannot understand what btrfs subvolume ${command} says: ${shown}`);
}
