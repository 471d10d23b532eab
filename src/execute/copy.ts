import type { Copied, Progress } from "../model/copy.ts";
import { MARKS } from "../model/marks.ts";
import type { CopyStep } from "../model/plan.ts";
import type { Config } from "../model/state.ts";
import type { Tools } from "./act-on.ts";
import type { Done } from "./execute-plan.ts";
import { noteOnReplica } from "./note-on-replica.ts";
import { prove } from "./prove.ts";
import { transfer } from "./transfer.ts";
import { withTotal } from "./with-total.ts";

/** Brings the target to the source's state, proves that it is there, and only then notes it on the replica. */
export async function copyAndProve(
  step: CopyStep,
  tools: Tools,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Done> {
  const { servers } = tools;
  const tell =
    step.base === undefined ? await withTotal(step.copy.source, servers.source, onProgress, signal) : onProgress;
  const copied = await transfer(step.copy, tools, tell, signal);
  await prove(step.copy, step.proof, servers, signal);
  await noteOnReplica(step.copy, servers.target, { ...step.marks, ...guidMarks(step, copied) }, signal);
  return { bytes: copied.bytes };
}

// Once the source has forgotten a snapshot nobody else can tell its GUID.
function guidMarks({ copy, proof }: CopyStep, { guids }: Copied): Config {
  if (guids === undefined) return {};
  const known = new Map(Object.entries(guids));
  for (const { name, guid } of copy.keep) if (guid !== undefined) known.set(name, guid);
  return { [MARKS.guids]: JSON.stringify(Object.fromEntries([...known].filter(([name]) => proof.includes(name)))) };
}
