import type { Backup, BackupOf } from "../../../src/model/archive.ts";
import { AgentError } from "../../../src/model/errors.ts";
import type { Archive, Clock } from "../../../src/model/ports.ts";

export type MemoryArchive = Archive & {
  /** The bytes of each backup, by its id. */
  readonly contents: Map<string, string>;
  /** Oldest first, those of streams that broke left out. */
  readonly backups: Backup[];
  /** Every call so far, in order. */
  readonly calls: string[];
  /** Replaced by a test that wants a call to fail or to wait. */
  before: (call: string, signal: AbortSignal) => Promise<void>;
  /** What the policy keeps no longer. */
  readonly expired: Set<string>;
};

/** An archive in memory. */
export function memoryArchive(clock: Clock): MemoryArchive {
  const calls: string[] = [];
  const pass = async (call: string, signal: AbortSignal) => {
    signal.throwIfAborted();
    calls.push(call);
    await archive.before(call, signal);
  };
  const keep = (what: BackupOf, content: string, streamName: string | undefined): Backup => {
    const id = `b${archive.backups.length + 1}`.padEnd(32, "0");
    const at = clock.now();
    const sizeBytes = content.length;
    const source = `iab@host1:${what.path}`;
    const { description, tags } = what;
    const made = { id, at, endedAt: at, sizeBytes, fileCount: 1, source, description, tags, streamName } as const;
    archive.backups.push({ ...made, state: "complete" });
    archive.contents.set(id, content);
    return { ...made, state: "complete" };
  };
  const unused = (verb: string) => async () => {
    throw new AgentError("kopia.failed", `Cannot ${verb}: the archive in memory does not do that`);
  };
  const archive: MemoryArchive = {
    contents: new Map(),
    backups: [],
    calls,
    before: async () => {},
    expired: new Set(),
    backUpFolder: async (folder, what, onProgress, signal) => {
      await pass(`folder ${what.path}`, signal);
      onProgress({ percent: 50, text: "half of it" });
      return keep(what, `the files in ${folder}`, undefined);
    },
    backUpStream: async ({ name, bytes }, what, signal) => {
      await pass(`stream ${what.path}`, signal);
      const chunks: Uint8Array[] = [];
      for await (const chunk of bytes) chunks.push(chunk);
      signal.throwIfAborted();
      return keep(what, Buffer.concat(chunks).toString(), name);
    },
    list: async (signal) => {
      await pass("list", signal);
      return [...archive.backups];
    },
    expire: async (signal) => {
      await pass("expire", signal);
      const gone = archive.backups.filter(({ id }) => archive.expired.has(id));
      for (const backup of gone) archive.backups.splice(archive.backups.indexOf(backup), 1);
      return gone;
    },
    maintain: async (signal) => {
      await pass("maintain", signal);
      return { done: true, owner: "iab@host1", lastAt: clock.now() };
    },
    read: async function* ({ id }, signal) {
      await pass(`read ${id}`, signal);
      yield Buffer.from(archive.contents.get(id) ?? "");
    },
    remove: unused("remove a backup"),
    restoreTo: unused("restore"),
    restoreToStdout: unused("restore"),
    verify: unused("verify"),
    close: async () => {
      calls.push("close");
    },
  };
  return archive;
}
