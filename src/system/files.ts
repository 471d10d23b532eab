import { randomUUID } from "node:crypto";
import { access, chmod, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { Files } from "../model/ports.ts";
import { lockHolder, takeLock } from "./lock.ts";

const OWNER_ONLY = { file: 0o600, folder: 0o700 } as const;

/** The file system of this machine. */
export const systemFiles: Files = {
  read: async (path, signal) => {
    try {
      return await readFile(path, { encoding: "utf8", signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw unusable("read", path, cause);
    }
  },

  exists: async (path) => {
    try {
      await access(path);
      return true;
    } catch (cause) {
      if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return false;
      throw unusable("look at", path, cause);
    }
  },

  mode: async (path) => {
    try {
      return (await stat(path)).mode;
    } catch (cause) {
      throw unusable("look at", path, cause);
    }
  },

  list: async (folder) => {
    try {
      return await readdir(folder);
    } catch (cause) {
      if (codeOf(cause) === "ENOENT") return [];
      throw unusable("list", folder, cause);
    }
  },

  writePrivate: async (path, text) => {
    try {
      await makeFolder(dirname(path));
      await replace(path, text);
    } catch (cause) {
      throw unusable("write", path, cause);
    }
  },

  privateFolder: async (path) => {
    try {
      await makeFolder(path);
      await chmod(path, OWNER_ONLY.folder);
    } catch (cause) {
      throw unusable("make a private folder of", path, cause);
    }
  },

  remove: async (path) => {
    try {
      await rm(path, { force: true });
    } catch (cause) {
      throw unusable("remove", path, cause);
    }
  },

  holder: lockHolder,
  lock: takeLock,
};

/** Makes a folder and those above it. Node's own `recursive` never ends where a folder takes none, as in `/proc`. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, OWNER_ONLY.folder);
  } catch (error) {
    if (codeOf(error) === "EEXIST" && (await stat(path)).isDirectory()) return;
    if (codeOf(error) !== "ENOENT" || (await systemFiles.exists(dirname(path)))) throw error;
    await makeFolder(dirname(path));
    await makeFolder(path);
  }
}

// Written beside the old one and renamed over it: whoever reads meanwhile, and a power cut, find one or the other whole.
async function replace(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  const draft = join(folder, `.${randomUUID()}.tmp`);
  try {
    const file = await open(draft, "wx", OWNER_ONLY.file);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
  const entries = await open(folder, "r");
  try {
    await entries.sync();
  } finally {
    await entries.close();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "it is a folder",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left",
};

function unusable(verb: string, path: string, cause: unknown): AgentError {
  const code = codeOf(cause);
  const why = REASONS[code ?? ""] ?? code ?? "for an unknown reason";
  return new AgentError("files.unusable", `Cannot ${verb} ${path}: ${why}`, { cause });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
