import type { Copy } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import { unitLabel } from "../model/unit.ts";
import type { End, Ends, Outcomes } from "./copy-ends.ts";
import { isBusy } from "./listing.ts";
import type { Ended } from "./operations.ts";

const BUSY_EVERY_MS = SECOND_MS;
const TAKING_BACK_MS = 3 * SECOND_MS;

/** Nothing if both servers call it a success; else why not, in the words of both. */
export async function throwUnlessDone(
  ends: Ends,
  copy: Copy,
  outcomes: Outcomes,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { source, target } = outcomes;
  if (source.state === "success" && target.state === "success") return;
  const told = [...wordsOf("the target", ends.target, target), ...wordsOf("the source", ends.source, source)].join(
    "; ",
  );
  if (source.state === "failure" || target.state === "failure") {
    const message = `Cannot copy ${unitLabel(copy.source)}: ${told}`;
    throw new AgentError("incus.operation-failed", message, { hint: hintFor(told) });
  }
  if (await isThere(ends.target, copy, clock, signal)) return;
  throw new AgentError("copy.unproven", `Cannot tell whether ${unitLabel(copy.source)} was copied: ${told}`, {
    hint: "The next run sees what is there, and completes it",
  });
}

/** The servers have forgotten how it ended: then what is there has to tell. */
async function isThere(target: End, copy: Copy, clock: Clock, signal: AbortSignal): Promise<boolean> {
  // What is half done shows objects that do not last.
  while (await isBusy(target.connection, copy.target, signal)) await clock.sleep(BUSY_EVERY_MS, signal);
  // Incus 7.0 takes back what has failed when its operation is over already.
  await clock.sleep(TAKING_BACK_MS, signal);
  const there = new Set((await target.snapshots(copy.target, signal)).map(({ name }) => name));
  // Where the plan leaves open what is sent, its proof is all that can be held against it.
  return (copy.sends ?? []).every((name) => there.has(name));
}

/** The target's first: the source often knows no more than that it lost the connection. */
function wordsOf(who: string, end: End, ended: Ended): string[] {
  switch (ended.state) {
    case "success":
      return [];
    case "failure":
      return [`${who} ${end.connection.host} says: ${ended.reason}`];
    case "unknown":
      return [`${who} ${end.connection.host} cannot tell: ${ended.why}`];
  }
}

const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /UNIQUE constraint failed: storage_volumes_snapshots/i,
    "Incus has kept half of a snapshot that it took back. The next run removes it, or says how",
  ],
  [/quota exceeded|smaller than the migration source/i, "The replica is smaller than the data: raise its `size`"],
  [/no space left|out of space/i, "The pool is full: free some space there"],
  [/Instance is running/i, "A replica must be stopped to be refreshed"],
  [/busy running/i, "Another operation holds the instance: see `incus operation list` there"],
  [/Unable to connect to/i, "The servers do not reach each other: use `mode: relay`, or push in place of pull"],
  [/Unknown configuration key|doesn't exist|not found/i, "Something that the replica needs is missing on the target"],
];

function hintFor(words: string): string {
  return HINTS.find(([pattern]) => pattern.test(words))?.[1] ?? "What the target had before is still there; run again";
}
