import { z } from "zod";
import { type InstanceCopy, type RootVolume, rootVolumeOf } from "../model/copy.ts";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import { type InstanceUnit, unitLabel } from "../model/unit.ts";
import { readMetadata } from "./answer.ts";
import { carryOut } from "./carry-out.ts";
import { changesVia } from "./changes.ts";
import type { Connection } from "./connection.ts";
import { type Ends, untilEnded } from "./copy-ends.ts";
import type { Request } from "./exchange.ts";
import { watchHistory } from "./history.ts";
import { heldHistory } from "./history-held.ts";
import { listSnapshots } from "./listing.ts";
import { decodeHeader, isFailureMessage } from "./migration-header.ts";
import { type Inspect, pump } from "./relay-pump.ts";
import { openRelay } from "./relay-sockets.ts";
import { rootVolumePath, snapshotPath } from "./unit-path.ts";

const Names = z.array(z.object({ name: z.string() }));

/** How long a target gets to write down what it is about to receive. */
const WRITING_MS = 20 * SECOND_MS;
const LOOK_EVERY_MS = SECOND_MS / 20;

/** How long the ends of a copy get whose connections are cut. */
const ENDING_MS = 35 * SECOND_MS;

/**
 * The snapshots that the server keeps of a root volume, and that its instance knows nothing of: what is left when a target
 * has received all of the data and loses the source before it can say so.
 */
export async function listHalfSnapshots(
  connection: Connection,
  volume: RootVolume,
  signal: AbortSignal,
): Promise<readonly string[]> {
  // In this order: what is being made comes the other way round, and is no half.
  const kept = await namesOfVolume(connection, volume, signal);
  if (kept.length === 0) return [];
  const known = new Set((await listSnapshots(connection, volume.unit, signal)).map(({ name }) => name));
  return kept.filter((name) => !known.has(name));
}

async function namesOfVolume(connection: Connection, volume: RootVolume, signal: AbortSignal): Promise<string[]> {
  const request: Request = {
    method: "GET",
    path: `${rootVolumePath(volume)}/snapshots`,
    query: { recursion: "1", project: volume.unit.project },
  };
  try {
    const answer = await connection.request(request, signal);
    const found = readMetadata({ host: connection.host, ...request }, answer, Names);
    return found.map(({ name }) => name.slice(name.lastIndexOf("/") + 1));
  } catch (error) {
    if (error instanceof IncusRefusal && error.status === 404) return [];
    throw error;
  }
}

/**
 * Removes such halves. No request does it: the server knows snapshots of instances by the instance alone. But for the time
 * between its answer to an offer and the first of the data a target lists all that it expects, the halves' names among
 * them, and lets what it lists be renamed. Under a name that the copy does not know a half is a whole, and can be deleted.
 */
export async function removeHalfSnapshots(
  ends: Ends,
  { copy, names }: { readonly copy: InstanceCopy; readonly names: readonly string[] },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { target } = ends;
  const volume = rootVolumeOf(copy);
  const found = volume === undefined ? [] : await listHalfSnapshots(target.connection, volume, signal);
  // What is whole by now, or gone, is none of ours to remove.
  const halves = names.filter((name) => found.includes(name));
  if (halves.length === 0) return;
  const whole = await holdingCopy(ends, copy, clock, signal, (asked) =>
    makeWhole(ends, copy, { names: halves, asked }, clock, signal),
  );
  const via = { connection: target.connection, operations: target.operations, clock };
  for (const name of whole) await changesVia(via).deleteSnapshot(copy.target, name, signal);
}

/** What the target asks for, once it has answered. */
type Asked = { names(): ReadonlySet<string> | undefined };

/** Has the servers agree on a copy, and passes no data on until the work is done; then the copy is given up. */
async function holdingCopy<T>(
  ends: Ends,
  copy: InstanceCopy,
  clock: Clock,
  signal: AbortSignal,
  work: (asked: Asked) => Promise<T>,
): Promise<T> {
  const { control } = watchHistory({ ...copy, keep: await heldHistory(ends.target, copy, clock, signal) });
  let names: ReadonlySet<string> | undefined;
  const toSource: Inspect = (frame) => {
    if (!isFailureMessage(frame.data)) names ??= new Set(decodeHeader(frame.data).snapshotNames);
    return control.toSource(frame);
  };
  const { running, sockets } = await openRelay(ends, copy, clock, signal);
  const over = new AbortController();
  const talk = pump({ ...sockets.control, ...control, toSource, meter: () => 0 }, over.signal).catch(() => {});
  try {
    return await work({ names: () => names });
  } finally {
    // The data's connection first: a target that has not got all of it takes back what it has begun.
    sockets.fs.source.terminate();
    sockets.fs.target.terminate();
    over.abort();
    await talk;
    const ending = AbortSignal.timeout(ENDING_MS);
    await Promise.all([
      untilEnded(ends.source, running.source, clock, ending),
      untilEnded(ends.target, running.target, clock, ending),
    ]);
  }
}

/** What is left of each half is then a snapshot like any other, under the name that is given. */
async function makeWhole(
  ends: Ends,
  copy: InstanceCopy,
  { names, asked }: { readonly names: readonly string[]; readonly asked: Asked },
  clock: Clock,
  signal: AbortSignal,
): Promise<string[]> {
  await untilListed(ends, copy, { names, asked }, clock, signal);
  const whole: string[] = [];
  for (const name of names) {
    const other = `${name}-half`;
    await rename(ends, copy.target, { from: name, to: other }, clock, signal);
    whole.push(other);
  }
  return whole;
}

async function untilListed(
  ends: Ends,
  copy: InstanceCopy,
  { names, asked }: { readonly names: readonly string[]; readonly asked: Asked },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const until = clock.now() + WRITING_MS;
  for (;;) {
    const unasked = names.filter((name) => asked.names()?.has(name) === false);
    if (unasked.length > 0 || clock.now() > until) throw notAsked(ends, copy, unasked.length > 0 ? unasked : names);
    const listed = await namesOf(ends, copy, signal);
    if (names.every((name) => listed.has(name))) return;
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

function notAsked({ target }: Ends, copy: InstanceCopy, names: readonly string[]): AgentError {
  const message = `Cannot rid ${unitLabel(copy.target)} of half of ${names.join(", ")}: ${target.connection.host} does not ask for it`;
  return new AgentError("incus.operation-failed", message);
}

async function rename(
  { target }: Ends,
  unit: InstanceUnit,
  { from, to }: { readonly from: string; readonly to: string },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const via = { connection: target.connection, operations: target.operations, clock };
  const request: Request = { method: "POST", path: snapshotPath(unit, from), query: queryOf(unit), body: { name: to } };
  const isDone = async (under: AbortSignal) =>
    (await listSnapshots(target.connection, unit, under)).some(({ name }) => name === to);
  await carryOut(via, { what: `rename the snapshot ${from} of ${unitLabel(unit)}`, unit, request, isDone }, signal);
}

async function namesOf({ target }: Ends, { target: unit }: InstanceCopy, signal: AbortSignal): Promise<Set<string>> {
  return new Set((await target.snapshots(unit, signal)).map(({ name }) => name));
}

function queryOf({ project }: InstanceUnit) {
  return { project };
}
