import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { ServerReader } from "../model/ports.ts";
import type { Space } from "../model/state.ts";

export type RoomWanted = {
  readonly pool: string;
  readonly sizeBytes: number;
  /** Names what is to be restored, in messages. */
  readonly what: string;
};

/**
 * Refuses what a pool has no room for, before any of it is sent. Where the server does not tell, or not us, it is left to
 * the import to find out.
 */
export async function refuseWithoutRoom(
  server: Pick<ServerReader, "space">,
  { pool, sizeBytes, what }: RoomWanted,
  signal: AbortSignal,
): Promise<void> {
  const space = await spaceOf(server, pool, signal);
  if (space === undefined) return;
  const freeBytes = Math.max(0, space.totalBytes - space.usedBytes);
  if (sizeBytes <= freeBytes) return;
  throw new AgentError(
    "storage.full",
    `Cannot restore ${what}: it takes ${mebibytes(sizeBytes)}, and the pool ${pool} has ${mebibytes(freeBytes)} left`,
    {
      hint: "Make room there, or name another pool with --pool; --ignore-space tries it, since zeros and what is compressed may take less",
    },
  );
}

async function spaceOf(
  server: Pick<ServerReader, "space">,
  pool: string,
  signal: AbortSignal,
): Promise<Space | undefined> {
  try {
    return await server.space(pool, signal);
  } catch (error) {
    if (error instanceof IncusRefusal) return undefined;
    throw error;
  }
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
