import { dirname } from "node:path";
import { AgentError } from "../../../src/model/errors.ts";
import type { Disks, Files } from "../../../src/model/ports.ts";
import { memoryWorld } from "../world/memory-world.ts";
import type { ZfsState } from "./state.ts";

/** Where udev puts the names of volumes, and where they lead. */
const NAMES = "/dev/zvol/";
const DEVICES = "/dev/zd/";

type Effect = <T>(work: () => T) => Promise<T>;

/** What the agent sees of the machine's files: its processes, what is mounted, the devices of volumes, its own folders. */
export function machineFiles(state: ZfsState, effect: Effect): { files: Files; disks: Disks } {
  const volumeAt = (path: string, folder: string) => {
    const volume = state.datasets.get(path.replace(folder, ""));
    return volume?.type === "volume" && volume.volmode === "dev" ? volume : undefined;
  };
  const files: Files = {
    ...memoryWorld().files,
    read: async (path) => {
      const text = proc(path, state);
      if (text === undefined) throw new AgentError("files.unusable", `Cannot read ${path}: there is no such file`);
      return text;
    },
    exists: async (path) => state.folders.has(path),
    list: async (folder) =>
      folder === "/proc"
        ? ["self", "sys", state.process.pid, ...state.others.keys()]
        : [...state.folders].filter((path) => dirname(path) === folder).map((path) => path.slice(folder.length + 1)),
    privateFolder: (path) =>
      effect(() => {
        for (let each = path; each !== "/"; each = dirname(each)) state.folders.add(each);
      }),
  };
  const disks: Disks = {
    look: async () => undefined,
    target: async (path) => {
      const hasDevice = !state.withoutDevice.is && volumeAt(path, NAMES) !== undefined;
      return hasDevice ? path.replace(NAMES, DEVICES) : undefined;
    },
    isBtrfs: async () => false,
    removeEmpty: (folder) =>
      effect(() => {
        const isFull = [...state.folders].some((path) => dirname(path) === folder);
        if (!isFull && !state.mounts.some(({ path }) => path === folder)) state.folders.delete(folder);
      }),
    bytes: async function* (path) {
      yield new TextEncoder().encode(volumeAt(path, DEVICES)?.content);
    },
  };
  return { files, disks };
}

function proc(path: string, { process, mounts, others }: ZfsState): string | undefined {
  const stat = `${process.pid} (node) (x)) S 1 ${"0 ".repeat(17)}${process.start} 0\n`;
  switch (path) {
    case "/proc/sys/kernel/random/boot_id":
      return "b007\n";
    case "/proc/self/stat":
    case `/proc/${process.pid}/stat`:
      return stat;
    case "/proc/self/mountinfo":
      return mounts.map(({ source, path: at }) => `9 1 0:9 / ${at} ro - zfs ${source} ro\n`).join("");
    default: {
      const [, pid = ""] = /^\/proc\/(\d+)\/cmdline$/.exec(path) ?? [];
      return others.get(pid)?.join("\0");
    }
  }
}
