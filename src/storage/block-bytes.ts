import { AgentError } from "../model/errors.ts";
import type { Disks } from "../model/ports.ts";

/** The bytes of a disk, which throw rather than end where they are fewer or more than they have to be. */
export async function* blockBytes(
  { path, sizeBytes, what }: { readonly path: string; readonly sizeBytes: number; readonly what: string },
  disks: Disks,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  let read = 0;
  for await (const chunk of disks.bytes(path, signal)) {
    read += chunk.length;
    if (read > sizeBytes) break;
    yield chunk;
  }
  if (read === sizeBytes) return;
  const count = read > sizeBytes ? "more" : `${read}`;
  throw new AgentError("storage.unusable", `Cannot read ${what}: it has ${sizeBytes} bytes, and ${count} came`);
}
