import type { VolumeContents } from "../model/contents.ts";
import type { Progress } from "../model/copy.ts";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import { SIDES, type Side } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { RehearseStep } from "../model/plan.ts";
import type { Servers } from "../model/ports.ts";
import { MINUTE_MS } from "../model/time.ts";
import { unitLabel } from "../model/unit.ts";
import type { Done } from "./execute-plan.ts";
import { prove } from "./prove.ts";
import { differences, scratchContents } from "./scratch-contents.ts";

/** It takes seconds: copies that wait for it must not wait as long as a transfer may take. */
const PLAYING_MS = 30 * MINUTE_MS;
/** How long the scratch volumes may take to go. */
const CLEARING_MS = 2 * MINUTE_MS;

/** The snapshots it is made with, the older of which the source then loses, and the one that is taken after that. */
const FORGOTTEN = "IAB_20200101-000000";
const COMMON = "IAB_20200102-000000";
const NEW = "IAB_20200103-000000";

/**
 * Keeps history on a scratch volume and reads back what became of it: throws unless all of it is as it should be. The
 * scratch volumes are removed from both sides whatever happens, and those of an earlier rehearsal that died too.
 */
export async function rehearse(
  step: RehearseStep,
  servers: Servers,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Done> {
  const late = AbortSignal.timeout(PLAYING_MS);
  const [played] = await Promise.allSettled([play(step, servers, onProgress, AbortSignal.any([signal, late]))]);
  const [cleared] = await Promise.allSettled([clear(step, servers, AbortSignal.timeout(CLEARING_MS))]);
  signal.throwIfAborted();
  if (played.status === "rejected") throw failed(step, late.aborted ? tooLate() : played.reason);
  if (cleared.status === "rejected") throw failed(step, cleared.reason);
  return { bytes: played.value };
}

async function play(
  step: RehearseStep,
  servers: Servers,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<number> {
  const { copy } = step;
  const { source, target } = servers;
  await clear(step, servers, signal);
  const made = { ...copy.create, config: { ...copy.create.config, [MARKS.scratch]: step.mark } };
  const [first, second, third] = scratchContents(made.contentType);
  const snapshots = new Map([
    [FORGOTTEN, first],
    [COMMON, second],
  ]);
  await source.createVolume(copy.source, made, { head: third, snapshots }, signal);
  const marked = { ...copy, create: made };
  const whole = { ...marked, keep: [], sends: [FORGOTTEN, COMMON] };
  const before = await servers.copy(whole, onProgress, signal);
  await prove(whole, whole.sends, servers, signal);

  await source.deleteSnapshot(copy.source, FORGOTTEN, signal);
  await source.createSnapshot(copy.source, NEW, signal);
  const there = await target.snapshots(copy.target, signal);
  const keep = there
    .filter(({ name }) => name === FORGOTTEN)
    .map(({ name, createdAtExact }) => ({ name, createdAtExact, guid: before.guids?.[name] }));
  const refresh = { ...marked, keep, sends: [NEW] };
  const after = await servers.copy(refresh, onProgress, signal);
  await prove(refresh, [FORGOTTEN, COMMON, NEW], servers, signal);

  snapshots.set(NEW, third);
  compare({ head: third, snapshots }, await target.contents(copy.target, signal));
  return (before.bytes ?? 0) + (after.bytes ?? 0);
}

function tooLate(): AgentError {
  return new AgentError("history.refused", `it did not end within ${PLAYING_MS / MINUTE_MS} minutes`);
}

/** Every snapshot by its name, none more, each with every byte; and the head. */
function compare(expected: VolumeContents, found: VolumeContents): void {
  const extra = [...found.snapshots.keys()].filter((name) => !expected.snapshots.has(name));
  const problems = [
    ...extra.map((name) => `${name} is there and should not be`),
    ...[...expected.snapshots].flatMap(([name, contents]) => {
      const there = found.snapshots.get(name);
      return there === undefined
        ? [`${name} is missing`]
        : differences(contents, there).map((each) => `${name}: ${each}`);
    }),
    ...differences(expected.head, found.head).map((each) => `the volume itself: ${each}`),
  ];
  if (problems.length === 0) return;
  throw new AgentError(
    "history.refused",
    `the target does not hold what it should (${problems.slice(0, 5).join("; ")})`,
  );
}

/** Removes the scratch volumes where they are, by name and mark. What only has the name is somebody else's. */
async function clear(step: RehearseStep, servers: Servers, signal: AbortSignal): Promise<void> {
  const cleared = await Promise.allSettled(SIDES.map((side) => clearOn(side, step, servers, signal)));
  for (const outcome of cleared) if (outcome.status === "rejected") throw outcome.reason;
}

async function clearOn(side: Side, step: RehearseStep, servers: Servers, signal: AbortSignal): Promise<void> {
  const unit = step.copy[side];
  const config = await servers[side].config(unit, signal);
  if (config === undefined) return;
  if (config[MARKS.scratch] !== step.mark) {
    throw new AgentError("history.refused", `the ${side} has a volume ${unitLabel(unit)} that is not ours`, {
      hint: "Rename or delete it",
    });
  }
  await servers[side].remove(unit, signal).catch(unlessGone);
}

function unlessGone(error: unknown): void {
  if (!(error instanceof IncusRefusal && error.status === 404)) throw error;
}

function failed({ between }: RehearseStep, cause: unknown): unknown {
  if (!(cause instanceof AgentError)) return cause;
  const on = (side: Side) => `Incus ${between[side].version} (${between[side].driver})`;
  const message = `The rehearsal of kept history from ${on("source")} to ${on("target")} failed: ${cause.message}`;
  const hint = "Until one passes no history is kept between them, and nothing is deleted there: see docs/history.md";
  return new AgentError("history.refused", message, {
    cause,
    hint: cause.hint === undefined ? hint : `${cause.hint}. ${hint}`,
  });
}
