import { AgentError } from "../model/errors.ts";
import type { UnitFiles, UnitRecord } from "../model/export.ts";
import type { Clock, Reader, Reading, Server } from "../model/ports.ts";
import { type OpenSubject, type Part, type ReadingRun, type Subject, subjectId } from "../model/reading.ts";
import type { Workload } from "../model/state.ts";
import { HOUR_MS, MINUTE_MS, SECOND_MS } from "../model/time.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import { lastingRecord } from "./backup-index.ts";
import { isAtRest, type Rest, restOf } from "./rest.ts";
import { stableExport } from "./stable-export.ts";
import { sweep } from "./sweep.ts";
import { temporaryCopy } from "./temporary-copy.ts";
import { copyName, snapshotExpiry } from "./traces.ts";

export type ExportServer = Server & UnitFiles;

/** How a subject is held: by a snapshot, or as it lies there. */
type Held =
  | { readonly kind: "snapshot"; readonly unit: Unit; readonly workload: Workload }
  | { readonly kind: "at-rest"; readonly unit: Unit; readonly workload: Workload; readonly rest: Rest }
  | { readonly kind: "failed"; readonly error: unknown };

/** How long may be spent on removing one thing that was made for the reading. */
const UNDO_MS = 10 * MINUTE_MS;
const SNAPSHOTS_AT_ONCE = 8;

/**
 * Reads workloads as their server exports them. What runs is read from a copy of a snapshot: its own files would be read
 * while they change. What is at rest is read as it is, and not believed if it did not stay so.
 */
export function exportReader(server: ExportServer, clock: Clock): Reader {
  return {
    sweep: (owner, signal) => sweep(server, owner, signal),
    hold: (subjects, run, signal) => hold(server, clock, subjects, run, signal),
  };
}

async function hold(
  server: ExportServer,
  clock: Clock,
  subjects: readonly Subject[],
  run: ReadingRun,
  signal: AbortSignal,
): Promise<Reading> {
  const held = new Map<string, Held>();
  // Also those whose making failed: that it failed is what we heard.
  const snapshotted = new Map<string, Unit>();
  const takeSnapshot = async (unit: Unit, under: AbortSignal) => {
    snapshotted.set(unitId(unit), unit);
    await server.createPassingSnapshot(unit, run.name, expiryOf(run, clock), under);
  };
  const release = () => dropSnapshots({ server, clock }, [...snapshotted.values()], run.name);
  const at = { server, clock, run, takeSnapshot };
  const waiting = [...subjects];
  const takeNext = async (): Promise<void> => {
    for (let subject = waiting.shift(); subject !== undefined; subject = waiting.shift()) {
      held.set(subjectId(subject), await holdOne(at, subject, signal));
    }
  };
  await Promise.all(Array.from({ length: SNAPSHOTS_AT_ONCE }, takeNext));
  if (signal.aborted) {
    await release();
    signal.throwIfAborted();
  }
  return {
    open: async (subject, under) => {
      const found = held.get(subjectId(subject));
      if (found === undefined) throw new Error(`${subjectId(subject)} is not held`);
      if (found.kind === "failed") throw found.error;
      return found.kind === "snapshot" ? openCopy(at, found, under) : openAtRest(at, found, under);
    },
    release,
  };
}

/** What everything of one run is done with. */
type At = {
  readonly server: ExportServer;
  readonly clock: Clock;
  readonly run: ReadingRun;
  readonly takeSnapshot: (unit: Unit, signal: AbortSignal) => Promise<void>;
};

type Workloads = { readonly unit: Unit; readonly workload: Workload };

async function holdOne({ server, takeSnapshot }: At, subject: Subject, signal: AbortSignal): Promise<Held> {
  if (subject.kind === "dataset") {
    const error = new AgentError("usage", `Cannot export the dataset ${subject.dataset}: Incus exports workloads only`);
    return { kind: "failed", error };
  }
  const { workload } = subject;
  const unit = unitOf(workload);
  try {
    const rest = await restOf(server, unit, signal);
    if (rest !== undefined) return { kind: "at-rest", unit, workload, rest };
    await takeSnapshot(unit, signal);
    return { kind: "snapshot", unit, workload };
  } catch (error) {
    return { kind: "failed", error };
  }
}

/** From a copy of the snapshot, which goes when it has been read. */
async function openCopy(at: At, { unit, workload }: Workloads, signal: AbortSignal): Promise<OpenSubject> {
  const { server, run } = at;
  const record = await recordOf(server, unit, signal);
  const copy = { ...unit, name: copyName(unit, run) };
  const close = () => removeCopy(at, copy);
  let isOpen = false;
  try {
    await server.copySnapshot(temporaryCopy(workload, copy.name, run), signal);
    isOpen = true;
  } finally {
    if (!isOpen) await close();
  }
  const part = exportPart(at, { unit: copy, of: unit, record }, async () => {});
  return { parts: [part], snapshot: run.name, close };
}

/** As it lies there. It is looked at again before its end is passed on. */
async function openAtRest(
  at: At,
  { unit, workload, rest }: Workloads & { readonly rest: Rest },
  signal: AbortSignal,
): Promise<OpenSubject> {
  const { server } = at;
  if (!(await isAtRest(server, unit, rest, signal))) {
    // It began to run since: then it is held only now, which is better than not at all.
    await at.takeSnapshot(unit, signal);
    return openCopy(at, { unit, workload }, signal);
  }
  const record = await recordOf(server, unit, signal);
  const part = exportPart(at, { unit, of: unit, record }, async (under) => {
    if (await isAtRest(server, unit, rest, under)) return;
    throw new AgentError("incus.operation-failed", `Cannot export ${unitLabel(unit)}: it was used while it was read`, {
      hint: "Run it again: what runs is read from a snapshot",
    });
  });
  return { parts: [part], snapshot: undefined, close: async () => {} };
}

type Exported = { readonly unit: Unit; readonly of: Unit; readonly record: UnitRecord };

function exportPart(
  { server, clock, run }: At,
  { unit, of, record }: Exported,
  check: (signal: AbortSignal) => Promise<void>,
): Part {
  async function* checked(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    yield* server.exportFile(unit, { name: copyName(of, run), expiresAt: expiryOf(run, clock) }, signal);
    await check(signal);
  }
  const what = `the export of ${unitLabel(of)}`;
  return {
    kind: "stream",
    role: "export",
    name: "export",
    fileName: "export.tar",
    sizeBytes: undefined,
    bytes: (signal) => stableExport(checked(signal), record, what),
  };
}

async function recordOf(server: ExportServer, unit: Unit, signal: AbortSignal): Promise<UnitRecord> {
  const record = await server.recordOf(unit, signal);
  if (record === undefined) throw new AgentError("incus.refused", `Cannot export ${unitLabel(unit)}: it has gone`);
  return lastingRecord(record);
}

/** All of it is tried, and the first failure told at the end. */
async function dropSnapshots(at: Pick<At, "server" | "clock">, units: readonly Unit[], name: string): Promise<void> {
  const errors: unknown[] = [];
  for (const unit of units) await dropSnapshot(at, unit, name).catch((error) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}

async function dropSnapshot({ server, clock }: Pick<At, "server" | "clock">, unit: Unit, name: string): Promise<void> {
  await undo(`snapshot ${name} of ${unitLabel(unit)}`, async (signal) => {
    for (;;) {
      if ((await server.recordOf(unit, signal)) === undefined) return;
      const found = await server.snapshots(unit, signal);
      if (found.some((snapshot) => snapshot.name === name)) return server.deleteSnapshot(unit, name, signal);
      // One that is still being made would appear when we have gone.
      if (!(await server.isBusy(unit, signal))) return;
      await clock.sleep(SECOND_MS, signal);
    }
  });
}

async function removeCopy({ server, clock }: At, copy: Unit): Promise<void> {
  await undo(`copy ${unitLabel(copy)}`, async (signal) => {
    // A copy that was given up goes on being made, and can only be removed when it is there.
    while (await server.isBusy(copy, signal)) await clock.sleep(SECOND_MS, signal);
    if ((await server.recordOf(copy, signal)) !== undefined) await server.remove(copy, signal);
  });
}

/** What was made for the reading goes under a time of its own, whatever has become of the run. */
async function undo(what: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const signal = AbortSignal.timeout(UNDO_MS);
  try {
    await work(signal);
  } catch (cause) {
    if (!signal.aborted) throw cause;
    throw new AgentError("incus.unreachable", `Cannot remove the ${what} in time`, {
      cause,
      hint: "The next offsite run removes it",
    });
  }
}

function expiryOf(run: ReadingRun, clock: Clock) {
  return snapshotExpiry(run) ?? clock.now() + 24 * HOUR_MS;
}

function unitOf(workload: Workload): Unit {
  const { project, name } = workload;
  if (workload.kind === "instance") return { kind: "instance", project, name };
  return { kind: "volume", project, pool: workload.pool, name };
}
