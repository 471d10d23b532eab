import type { Copy } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { Servers } from "../model/ports.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { SECOND_MS } from "../model/time.ts";
import { unitLabel } from "../model/unit.ts";

/** Throws unless the target lists every named snapshot, of the source's date, with data behind it. */
export async function prove(
  copy: Copy,
  names: readonly string[],
  servers: Servers,
  signal: AbortSignal,
): Promise<void> {
  const [given, arrived] = await Promise.all([
    servers.source.snapshots(copy.source, signal),
    servers.target.snapshots(copy.target, signal),
  ]);
  const secondOf = new Map(copy.keep.map((kept) => [kept.name, second(Date.parse(kept.createdAtExact))]));
  for (const { name, createdAt } of given) secondOf.set(name, second(createdAt));
  // ZFS gives a size for each snapshot that has a dataset; other drivers give none for any.
  const sized = arrived.some(({ sizeBytes }) => sizeBytes !== undefined);
  const problems = names.flatMap((name) => {
    const snapshot = arrived.find((candidate) => candidate.name === name);
    const problem = problemOf(snapshot, secondOf.get(name), sized);
    return problem === undefined ? [] : [`${name} ${problem}`];
  });
  if (problems.length === 0) return;
  throw new AgentError("copy.unproven", `The copy of ${unitLabel(copy.source)} is not proven: ${problems.join(", ")}`, {
    hint: "nothing of it is pruned; the next run copies again",
  });
}

// The target keeps an instance's dates in whole seconds.
function problemOf(snapshot: Snapshot | undefined, atSecond: number | undefined, sized: boolean): string | undefined {
  if (snapshot === undefined) return "is missing on the target";
  if (atSecond !== undefined && second(snapshot.createdAt) !== atSecond) return "has another date on the target";
  if (sized && snapshot.sizeBytes === undefined) return "is listed by the target without data behind it";
  return undefined;
}

function second(at: number): number {
  return Math.floor(at / SECOND_MS);
}
