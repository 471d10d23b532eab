import { type Copy, rootVolumeOf } from "../model/copy.ts";
import { MARKS } from "../model/marks.ts";
import type { Server } from "../model/ports.ts";
import type { Config } from "../model/state.ts";

/** Notes on a replica what is proven; what there is to keep also where no refresh by hand wipes it off. */
export async function noteOnReplica(copy: Copy, target: Server, marks: Config, signal: AbortSignal): Promise<void> {
  // Of an ISO image nothing can be changed: what there is to note was written when it was made.
  if (copy.kind === "volume" && copy.create.contentType === "iso") return;
  await target.patchConfig(copy.target, marks, signal);
  const kept = marks[MARKS.kept];
  const root = copy.kind === "instance" ? rootVolumeOf(copy) : undefined;
  if (kept !== undefined && root !== undefined) await target.patchRootConfig(root, { [MARKS.kept]: kept }, signal);
}
