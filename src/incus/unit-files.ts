import type { Progress } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { ImportTarget, TemporaryCopy, UnitFiles } from "../model/export.ts";
import type { ServerFacts } from "../model/state.ts";
import type { EpochMs } from "../model/time.ts";
import { type Unit, unitLabel } from "../model/unit.ts";
import { carryOut, type Via } from "./carry-out.ts";
import type { Request } from "./exchange.ts";
import { directExport, temporaryExport } from "./exports.ts";
import { listSnapshots } from "./listing.ts";
import { unitPath, volumesPath } from "./unit-path.ts";
import { recordOf } from "./unit-record.ts";

type Facts = (signal: AbortSignal) => Promise<ServerFacts>;

/** Workloads as files: out of a server, and in again. */
export function unitFilesVia(via: Via, facts: Facts): UnitFiles {
  return {
    recordOf: (unit, signal) => recordOf(via.connection, unit, signal),
    createPassingSnapshot: (unit, name, expiresAt, signal) => createSnapshot(via, unit, name, expiresAt, signal),
    copySnapshot: (copy, signal) => copySnapshot(via, copy, signal),
    async *exportFile(unit, options, signal) {
      const { can } = await facts(signal);
      yield* can.directBackup ? directExport(via, unit, signal) : temporaryExport(via, unit, options, signal);
    },
    importFile: (target, bytes, onProgress, signal) => importFile(via, target, bytes, onProgress, signal),
  };
}

async function createSnapshot(
  via: Via,
  unit: Unit,
  name: string,
  expiresAt: EpochMs,
  signal: AbortSignal,
): Promise<void> {
  const stateless = unit.kind === "instance" ? { stateful: false } : {};
  const body = { name, expires_at: new Date(expiresAt).toISOString(), ...stateless };
  const request: Request = { method: "POST", path: `${unitPath(unit)}/snapshots`, query: projectOf(unit), body };
  const isDone = async (under: AbortSignal) =>
    (await listSnapshots(via.connection, unit, under)).some((snapshot) => snapshot.name === name);
  await carryOut(via, { what: `snapshot ${unitLabel(unit)} as ${name}`, unit, request, isDone }, signal);
}

async function copySnapshot(via: Via, copy: TemporaryCopy, signal: AbortSignal): Promise<void> {
  const { of, name, snapshot } = copy;
  const made: Unit = { ...of, name };
  const where = { method: "POST", query: projectOf(of) } as const;
  const request: Request =
    copy.kind === "instance"
      ? { ...where, path: "/1.0/instances", body: newInstance(copy) }
      : { ...where, path: volumesPath(copy.of.pool), body: newVolume(copy) };
  const what = `copy the snapshot ${snapshot} of ${unitLabel(of)} to ${name}`;
  // Half a copy is there too, so what is there proves nothing: an end that is not known is none.
  await carryOut(via, { what, unit: made, request, isDone: async () => false }, signal);
}

function newInstance({ of, snapshot, name, config, devices }: TemporaryCopy & { kind: "instance" }) {
  const source = { type: "copy", source: `${of.name}/${snapshot}`, instance_only: true };
  // Without profiles: all devices that it is to have are named.
  return { name, config, devices, profiles: [], ephemeral: false, start: false, source };
}

function newVolume({ of, snapshot, name, contentType, config }: TemporaryCopy & { kind: "volume" }) {
  const source = { type: "copy", name: `${of.name}/${snapshot}`, pool: of.pool, volume_only: true };
  return { name, type: "custom", content_type: contentType, config, source };
}

async function importFile(
  via: Via,
  { unit, pool }: ImportTarget,
  bytes: AsyncIterable<Uint8Array>,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const { connection, operations } = via;
  const path = unit.kind === "instance" ? "/1.0/instances" : volumesPath(pool);
  const headers = { "X-Incus-name": unit.name, "X-Incus-pool": pool };
  const request: Request = { method: "POST", path, query: projectOf(unit), headers };
  const answer = await connection.upload(request, counted(bytes, onProgress), signal);
  if (answer.kind === "error") throw failed(via, unit, answer.reason);
  const ended =
    answer.kind === "sync"
      ? ({ state: "success" } as const)
      : await operations.waitFor(answer.operation, { onProgress, cancel: true }, signal);
  if (ended.state === "failure") throw failed(via, unit, ended.reason);
  if (ended.state === "unknown") throw failed(via, unit, ended.why);
}

function failed({ connection }: Via, unit: Unit, why: string): AgentError {
  return new AgentError("incus.operation-failed", `Cannot import ${unitLabel(unit)} on ${connection.host}: ${why}`);
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  onProgress: (progress: Progress) => void,
): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for await (const part of bytes) {
    sent += part.length;
    onProgress({ bytes: sent, totalBytes: undefined, bytesPerSecond: undefined, what: undefined });
    yield part;
  }
}

function projectOf({ project }: Unit) {
  return { project };
}
