import { AgentError } from "../../src/model/errors.ts";
import type { Files } from "../../src/model/ports.ts";

/** Files that exist in memory only, with the order in which they were written. */
export function memoryFiles(initial: Readonly<Record<string, string>> = {}): {
  files: Files;
  content: Map<string, string>;
  written: string[];
} {
  const content = new Map(Object.entries(initial));
  const written: string[] = [];
  const files: Files = {
    async read(path) {
      const text = content.get(path);
      if (text === undefined) throw new AgentError("files.unusable", `Cannot read ${path}: it does not exist`);
      return text;
    },
    exists: async (path) => content.has(path),
    list: async (folder) =>
      [...content.keys()].filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1)),
    async writePrivate(path, text) {
      content.set(path, text);
      written.push(path);
    },
    privateFolder: async () => undefined,
    async remove(path) {
      content.delete(path);
    },
    lock: async () => ({ release: async () => undefined }),
  };
  return { files, content, written };
}
