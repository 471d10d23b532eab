import type { Copied, Copy, Progress } from "../model/copy.ts";
import { unitId } from "../model/unit.ts";
import type { Tools } from "./act-on.ts";

/** Has the servers copy, and says so if that leaves something behind. */
export async function transfer(
  copy: Copy,
  { servers, log }: Tools,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Copied> {
  const copied = await servers.copy(copy, onProgress, signal);
  if (copied.lingering !== undefined)
    log.warn("operation.lingers", {
      unit: unitId(copy.source),
      operation: copied.lingering,
      why: "the target could not tell the source that the copy is done: it ends when either server is started anew, for which the source waits up to core.shutdown_timeout",
      hint: "Incus 6.0.5 or 6.13 on the target, or mode relay or push, leaves none behind",
    });
  return copied;
}
