import type { Backup, Maintained, Verified } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { Archive } from "../model/ports.ts";
import { HOUR_MS } from "../model/time.ts";
import {
  folderArguments,
  type Owner,
  outputArguments,
  ownerText,
  restoreArguments,
  streamArguments,
  verifyArguments,
} from "./arguments.ts";
import { listAll, makeBackup } from "./back-up.ts";
import type { Client } from "./client.ts";
import { kopiaFailure } from "./failures.ts";
import { backupOf, Maintenance, type Manifest, parseOutput, STREAM_TAG, VerifiedObjects } from "./output.ts";
import { movementOfReading } from "./progress.ts";

const READING = { movementOf: movementOfReading } as const;

/** A repository that has been opened, in the words of the rest of the agent. */
export function archiveOf(client: Client, owner: Owner, close: () => Promise<void>): Archive {
  const own = async (signal: AbortSignal) =>
    (await listAll(client, signal)).filter(
      ({ source }) => source.host === owner.hostname && source.userName === owner.username,
    );
  const argumentsFor = async ({ id, streamName }: Backup, signal: AbortSignal) => {
    if (streamName === undefined) return outputArguments(id, undefined);
    const rootObject = (await own(signal)).find((manifest) => manifest.id === id)?.rootEntry?.obj;
    if (rootObject !== undefined) return outputArguments(id, { name: streamName, rootObject });
    throw new AgentError("kopia.not-found", `Cannot restore backup ${id}: it has gone`);
  };
  return {
    close,
    backUpFolder: (folder, what, onProgress, signal) => {
      const args = folderArguments(folder, what, owner);
      return makeBackup(client, { args, doing: `back up ${what.path}` }, onProgress, signal);
    },
    backUpStream: (stream, what, signal) => {
      const tagged = { ...what, tags: { ...what.tags, [STREAM_TAG]: stream.name } };
      const args = streamArguments(stream.name, tagged, owner);
      return makeBackup(client, { args, input: stream.bytes, doing: `back up ${what.path}` }, () => {}, signal);
    },
    list: async (signal) => (await own(signal)).map(backupOf).sort((a, b) => a.at - b.at),
    remove: async ({ id }, signal) => {
      await client.run({ args: ["snapshot", "delete", id, "--delete"], doing: `delete backup ${id}` }, signal);
    },
    expire: (signal) => expire(client, own, signal),
    restoreTo: async ({ id }, folder, options, signal) => {
      const args = restoreArguments(id, folder, options);
      await client.run({ ...READING, args, doing: `restore backup ${id} to ${folder}` }, signal);
    },
    restoreToStdout: async (backup, signal) => {
      const call = {
        args: await argumentsFor(backup, signal),
        doing: `restore backup ${backup.id}`,
        toOurStdout: true,
      };
      // What it writes goes past us, and whoever reads it may take his time.
      await client.run({ ...call, idleMs: 48 * HOUR_MS }, signal);
    },
    async *read(backup, signal) {
      const args = await argumentsFor(backup, signal);
      yield* client.read({ args, doing: `read backup ${backup.id}` }, signal);
    },
    verify: (backups, { percent }, signal) =>
      verify(
        client,
        backups.map(({ id }) => id),
        percent,
        signal,
      ),
    maintain: (signal) => maintain(client, owner, signal),
  };
}

/** So many sources fit into one command line, however long their paths. */
const SOURCES_AT_ONCE = 100;

/** Kopia prints what it removes for people only: the lists before and after tell it. */
async function expire(
  client: Client,
  own: (signal: AbortSignal) => Promise<readonly Manifest[]>,
  signal: AbortSignal,
): Promise<readonly Backup[]> {
  const before = await own(signal);
  // An @ in a path makes Kopia take it for another host's: such backups were made by hand, and stay.
  const sources = [...new Set(before.map((manifest) => backupOf(manifest).source))].filter(
    (source) => source.indexOf("@") === source.lastIndexOf("@"),
  );
  for (let at = 0; at < sources.length; at += SOURCES_AT_ONCE) {
    const some = sources.slice(at, at + SOURCES_AT_ONCE);
    await client.run(
      { args: ["snapshot", "expire", ...some, "--delete"], doing: "remove what the policy keeps no longer" },
      signal,
    );
  }
  const left = new Set((await own(signal)).map(({ id }) => id));
  return before.filter(({ id }) => !left.has(id)).map(backupOf);
}

async function verify(client: Client, ids: readonly string[], percent: number, signal: AbortSignal): Promise<Verified> {
  const doing = "verify the backups";
  const { exitCode, stdout, stderr } = await client.attempt(
    { ...READING, args: verifyArguments(ids, percent), doing },
    signal,
  );
  if (stdout.trim() === "") throw kopiaFailure(stderr, doing);
  const { stats, errorCount, errorStrings } = parseOutput(VerifiedObjects, stdout, doing);
  if (errorCount > 0) {
    const named = errorStrings.slice(0, 10).map((text) => `  ${text}`);
    throw new AgentError("kopia.damaged", [`${errorCount} objects cannot be read back:`, ...named].join("\n"), {
      hint: "keep the repository as it is, restore what can be restored, and find out what has touched the storage",
    });
  }
  if (exitCode !== 0) throw kopiaFailure(stderr, doing);
  // A list that matches nothing ends well too.
  if (stats.processedObjectCount === 0)
    throw new AgentError("kopia.failed", "Cannot verify the backups: nothing was read");
  return { objects: stats.processedObjectCount, filesRead: stats.readFileCount, bytesRead: stats.readBytes };
}

async function maintain(client: Client, owner: Owner, signal: AbortSignal): Promise<Maintained> {
  const doing = "tidy up the repository";
  const ask = async () =>
    parseOutput(Maintenance, await client.run({ args: ["maintenance", "info", "--json"], doing }, signal), doing);
  const before = await ask();
  const done = before.owner === ownerText(owner);
  if (done) {
    const call = { args: ["maintenance", "run", "--full"], doing, idleMs: HOUR_MS, movementOf: (line: string) => line };
    await client.run(call, signal);
  }
  const { schedule } = done ? await ask() : before;
  const ends = Object.values(schedule.runs ?? {}).flatMap((runs) =>
    (runs ?? []).filter(({ success }) => success).map(({ end }) => Date.parse(end)),
  );
  return { done, owner: before.owner, lastAt: ends.length === 0 ? undefined : Math.max(...ends) };
}
