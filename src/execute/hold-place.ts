import type { HoldStep } from "../model/offsite-plan.ts";
import type { Clock, Lock, Log, Reader, Reading, Server } from "../model/ports.ts";
import { type ReadingPlace, type ReadingRun, type Subject, subjectId } from "../model/reading.ts";
import type { Instance } from "../model/state.ts";
import { type EpochMs, MINUTE_MS } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";
import { awaitLock } from "./await-lock.ts";
import { startAgain } from "./start-again.ts";
import { type StopTools, stopFor, toBeStopped } from "./stop-for.ts";

export type HoldTools = {
  readonly reader: Reader;
  readonly server: Server;
  readonly clock: Clock;
  readonly log: Log;
  readonly run: ReadingRun;
  /** Takes the lock of a workload; `lock.held` while a replication run has it. */
  readonly lock: (place: ReadingPlace, unit: Unit) => Promise<Lock>;
};

/** What is held in one place. */
export type Held = {
  readonly reading: Reading;
  readonly at: EpochMs;
  /** Why a subject could not be made ready for its reading, by its id. */
  readonly failures: ReadonlyMap<string, unknown>;
  /** Instances that were stopped and did not start again. */
  readonly down: readonly unknown[];
  /** Lets replication have a subject again: at once where nothing of ours shows on its server, else when it was read. */
  done(subject: Subject): Promise<void>;
  /** Gives up all that is held. */
  release(): Promise<void>;
};

/** A replication run that has a workload is waited for so long. */
const LOCK_WAIT_MS = 15 * MINUTE_MS;

/** Holds the subjects of a place as they are at one moment, with the instances stopped that are to be. */
export async function holdPlace(step: HoldStep, tools: HoldTools, signal: AbortSignal): Promise<Held> {
  const locks = new Map<string, Lock>();
  const failures = new Map<string, unknown>();
  const unlock = async (ids: readonly string[]) => {
    for (const id of ids) {
      await locks.get(id)?.release();
      locks.delete(id);
    }
  };
  try {
    await lockAll(step, tools, { locks, failures }, signal);
    const { reading, down } = await whileStopped(step, tools, failures, signal);
    if (!showsOnServer(step.place)) await unlock([...locks.keys()]);
    return {
      reading,
      at: tools.clock.now(),
      failures,
      down,
      done: (subject) => unlock([subjectId(subject)]),
      release: async () => {
        try {
          await reading.release();
        } finally {
          await unlock([...locks.keys()]);
        }
      },
    };
  } catch (error) {
    await unlock([...locks.keys()]);
    throw error;
  }
}

/**
 * Snapshots that an export is made from are the server's own, which a refresh would carry along; and on the target a
 * refresh rolls a dataset back to where ours is in its way. A snapshot of the source's storage is in nobody's way.
 */
function showsOnServer({ read, host }: ReadingPlace): boolean {
  return read === "export" || host === "target";
}

type Filled = { readonly locks: Map<string, Lock>; readonly failures: Map<string, unknown> };

async function lockAll(step: HoldStep, tools: HoldTools, filled: Filled, signal: AbortSignal): Promise<void> {
  const giveUpAt = tools.clock.now() + LOCK_WAIT_MS;
  const takeOne = async (subject: Subject) => {
    if (subject.kind === "dataset") return;
    const id = subjectId(subject);
    const { workload } = subject;
    const take = () => tools.lock(step.place, workload);
    const [taken] = await Promise.allSettled([awaitLock(workload, take, { ...tools, giveUpAt }, signal)]);
    if (taken.status === "fulfilled") filled.locks.set(id, taken.value);
    else filled.failures.set(id, taken.reason);
  };
  await Promise.all(step.subjects.map(takeOne));
  signal.throwIfAborted();
}

async function whileStopped(
  step: HoldStep,
  tools: HoldTools,
  failures: Map<string, unknown>,
  signal: AbortSignal,
): Promise<Pick<Held, "reading" | "down">> {
  const stopTools: StopTools = { ...tools, run: tools.run.name };
  const stopped: Instance[] = [];
  const stopOne = async (unit: HoldStep["stop"][number]) => {
    const running = await toBeStopped(unit, stopTools, signal);
    if (running === undefined) return;
    stopped.push(running);
    await stopFor(running, stopTools, signal);
  };
  const hold = async () => {
    const units = step.stop.filter((unit) => !failures.has(unitId(unit)));
    await Promise.all(units.map((unit) => noting(unitId(unit), failures, () => stopOne(unit))));
    signal.throwIfAborted();
    const subjects = step.subjects.filter((subject) => !failures.has(subjectId(subject)));
    return tools.reader.hold(subjects, tools.run, signal);
  };
  const [holding] = await Promise.allSettled([hold()]);
  const started = await Promise.allSettled(stopped.map((unit) => startAgain(unit, stopTools)));
  const down = started.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  if (holding.status === "fulfilled") return { reading: holding.value, down };
  // An instance that stays down is worse than one that is not backed up.
  throw down[0] ?? holding.reason;
}

async function noting(id: string, failures: Map<string, unknown>, work: () => Promise<void>): Promise<void> {
  const [worked] = await Promise.allSettled([work()]);
  if (worked.status === "rejected") failures.set(id, worked.reason);
}
