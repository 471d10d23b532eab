import { createReadStream } from "node:fs";
import { lstat, realpath, rmdir, statfs } from "node:fs/promises";
import { AgentError } from "../model/errors.ts";
import type { Disks, Found } from "../model/ports.ts";

const BTRFS_MAGIC = 0x9123683e;
const CHUNK_BYTES = 1 << 20;

/** The storage of this machine. */
export const systemDisks: Disks = {
  look: async (path) => {
    try {
      const facts = await lstat(path);
      return { kind: kindOf(facts), inode: facts.ino, sizeBytes: facts.size };
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw unusable("look at", path, cause);
    }
  },

  target: async (path) => {
    try {
      return await realpath(path);
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw unusable("look at", path, cause);
    }
  },

  isBtrfs: async (path) => {
    try {
      return (await statfs(path)).type === BTRFS_MAGIC;
    } catch (cause) {
      throw unusable("look at", path, cause);
    }
  },

  removeEmpty: async (folder) => {
    try {
      await rmdir(folder);
    } catch (cause) {
      if (!["ENOENT", "ENOTEMPTY", "ENOTDIR", "EEXIST", "EBUSY"].includes(codeOf(cause) ?? "")) {
        throw unusable("remove", folder, cause);
      }
    }
  },

  bytes: async function* (path, signal) {
    try {
      yield* createReadStream(path, { highWaterMark: CHUNK_BYTES, signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw unusable("read", path, cause);
    }
  },
};

function kindOf(facts: Awaited<ReturnType<typeof lstat>>): Found["kind"] {
  if (facts.isDirectory()) return "folder";
  if (facts.isFile()) return "file";
  if (facts.isSymbolicLink()) return "link";
  return facts.isBlockDevice() ? "device" : "other";
}

function unusable(verb: string, path: string, cause: unknown): AgentError {
  const why = codeOf(cause) ?? "for an unknown reason";
  return new AgentError("storage.unusable", `Cannot ${verb} ${path}: ${why}`, { cause });
}

function isMissing(cause: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(codeOf(cause) ?? "");
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
