import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { ServerWriter, StateChange } from "../model/ports.ts";
import type { Config, Devices, InstanceStatus } from "../model/state.ts";
import { MINUTE_MS, SECOND_MS } from "../model/time.ts";
import { type InstanceUnit, type Unit, unitLabel } from "../model/unit.ts";
import { readMetadata } from "./answer.ts";
import { carryOut, type Via } from "./carry-out.ts";
import { createProfile } from "./create-profile.ts";
import type { Request } from "./exchange.ts";
import { DeviceMap, Strings } from "./instances.ts";
import { exists, listSnapshots, readInstance } from "./listing.ts";
import { NEVER } from "./moments.ts";
import { patchRootConfig } from "./root-volume.ts";
import { snapshotPath, unitPath } from "./unit-path.ts";
import { createVolume, readContents } from "./volume-contents.ts";

/** Volumes are renamed and deleted before the answer, which may take as long as their size wants. */
const SLOW_MS = 30 * MINUTE_MS;
const MOST_PATCHES = 5;
const Patched = z.object({
  description: z.string().default(""),
  config: Strings,
  devices: DeviceMap,
  ephemeral: z.boolean().default(false),
});

const STATUS_AFTER: Readonly<Record<StateChange, InstanceStatus>> = {
  start: "Running",
  stop: "Stopped",
  freeze: "Frozen",
  unfreeze: "Running",
};

/** All that changes something on a server. */
export function changesVia(via: Via): ServerWriter {
  return {
    createSnapshot: (unit, name, signal) => createSnapshot(via, unit, name, signal),
    deleteSnapshot: (unit, name, signal) => deleteSnapshot(via, unit, name, signal),
    changeState: (unit, change, options, signal) => changeState(via, unit, { change, ...options }, signal),
    patchConfig: (unit, config, signal) => patch(via, unit, { config }, signal),
    makeLasting: (unit, signal) => patch(via, unit, { ephemeral: false }, signal),
    patchRootConfig: (volume, config, signal) => patchRootConfig(via, volume, config, signal),
    patchDevices: (unit, devices, signal) => patch(via, unit, { devices }, signal),
    rename: (unit, name, signal) => rename(via, unit, name, signal),
    createVolume: (unit, made, contents, signal) => createVolume(via, unit, made, contents, signal),
    contents: (unit, signal) => readContents(via, unit, signal),
    createProfile: (profile, signal) => createProfile(via, profile, signal),
    remove: (unit, signal) => remove(via, unit, signal),
  };
}

/** Without a date of its own a snapshot would get the one of the unit's configuration, and be gone behind our back. */
async function createSnapshot(via: Via, unit: Unit, name: string, signal: AbortSignal): Promise<void> {
  const body = { name, expires_at: NEVER, ...(unit.kind === "instance" ? { stateful: false } : {}) };
  const what = `snapshot ${unitLabel(unit)} as ${name}`;
  const request: Request = { method: "POST", path: `${unitPath(unit)}/snapshots`, query: projectOf(unit), body };
  await carryOut(via, { what, unit, request, isDone: (under) => hasSnapshot(via, unit, name, under) }, signal);
}

async function deleteSnapshot(via: Via, unit: Unit, name: string, signal: AbortSignal): Promise<void> {
  const what = `delete the snapshot ${name} of ${unitLabel(unit)}`;
  const request: Request = { method: "DELETE", path: snapshotPath(unit, name), query: projectOf(unit) };
  const isDone = async (under: AbortSignal) => !(await hasSnapshot(via, unit, name, under));
  await carryOut(via, { what, unit, request, isDone }, signal);
}

type StateOptions = { readonly change: StateChange; readonly timeoutMs: number; readonly force: boolean };

async function changeState(via: Via, unit: InstanceUnit, options: StateOptions, signal: AbortSignal): Promise<void> {
  try {
    await putState(via, unit, options, false, signal);
  } catch (error) {
    signal.throwIfAborted();
    const mayForce = options.change === "stop" && options.force && hasFailed(error);
    if (!mayForce) throw error;
    // It may have stopped at the last moment, and a stopped one cannot be stopped.
    if (await isInState(via, unit, "Stopped", signal)) return;
    await putState(via, unit, options, true, signal);
  }
}

async function putState(
  via: Via,
  unit: InstanceUnit,
  { change, timeoutMs }: StateOptions,
  force: boolean,
  signal: AbortSignal,
): Promise<void> {
  const body = { action: change, timeout: Math.ceil(timeoutMs / SECOND_MS), force, stateful: false };
  const request: Request = { method: "PUT", path: `${unitPath(unit)}/state`, query: projectOf(unit), body };
  const isDone = (under: AbortSignal) => isInState(via, unit, STATUS_AFTER[change], under);
  await carryOut(via, { what: `${change} ${unitLabel(unit)}`, unit, request, isDone, impatient: true }, signal);
}

type Changes = { readonly config?: Config; readonly devices?: Devices; readonly ephemeral?: false };

/**
 * Sets some keys, and nothing else. The description goes along because many servers blank it when it is left out, and
 * the tag because somebody may change it in between.
 */
async function patch(via: Via, unit: Unit, changes: Changes, signal: AbortSignal): Promise<void> {
  const where = { path: unitPath(unit), query: projectOf(unit) };
  const what = `change the configuration of ${unitLabel(unit)}`;
  const isDone = async (under: AbortSignal) => holds((await readPatched(via, unit, under)).now, changes);
  for (let attempt = 1; ; attempt += 1) {
    const { now, etag } = await readPatched(via, unit, signal);
    const body = { description: now.description, ...changes };
    const request: Request = { method: "PATCH", ...where, body, ...(etag === undefined ? {} : { etag }) };
    try {
      return await carryOut(via, { what, unit, request, isDone }, signal);
    } catch (error) {
      const isOutdated = error instanceof IncusRefusal && error.status === 412;
      if (!isOutdated || attempt === MOST_PATCHES) throw error;
    }
  }
}

async function readPatched(via: Via, unit: Unit, signal: AbortSignal) {
  const request: Request = { method: "GET", path: unitPath(unit), query: projectOf(unit) };
  const answer = await via.connection.request(request, signal);
  const now = readMetadata({ host: via.connection.host, ...request }, answer, Patched);
  return { now, etag: answer.kind === "sync" ? answer.etag : undefined };
}

/** Whether all changes are there. A key that is set to nothing is removed. */
function holds(now: z.infer<typeof Patched>, { config = {}, devices = {}, ephemeral }: Changes): boolean {
  return (
    (ephemeral === undefined || now.ephemeral === ephemeral) &&
    Object.entries(config).every(([key, value]) => (now.config[key] ?? "") === value) &&
    Object.entries(devices).every(([name, device]) => isDeepStrictEqual(now.devices[name], device))
  );
}

async function rename(via: Via, unit: Unit, name: string, signal: AbortSignal): Promise<void> {
  const what = `rename ${unitLabel(unit)} to ${name}`;
  const query = projectOf(unit);
  const request: Request = { method: "POST", path: unitPath(unit), query, body: { name }, timeoutMs: SLOW_MS };
  const isDone = async (under: AbortSignal) =>
    (await exists(via.connection, { ...unit, name }, under)) && !(await exists(via.connection, unit, under));
  await carryOut(via, { what, unit, request, isDone }, signal);
}

async function remove(via: Via, unit: Unit, signal: AbortSignal): Promise<void> {
  const what = `delete ${unitLabel(unit)}`;
  const request: Request = { method: "DELETE", path: unitPath(unit), query: projectOf(unit), timeoutMs: SLOW_MS };
  const isDone = async (under: AbortSignal) => !(await exists(via.connection, unit, under));
  await carryOut(via, { what, unit, request, isDone }, signal);
}

function projectOf(unit: Unit) {
  return { project: unit.project };
}

async function hasSnapshot({ connection }: Via, unit: Unit, name: string, signal: AbortSignal): Promise<boolean> {
  return (await listSnapshots(connection, unit, signal)).some((snapshot) => snapshot.name === name);
}

async function isInState(via: Via, unit: InstanceUnit, status: InstanceStatus, signal: AbortSignal): Promise<boolean> {
  return (await readInstance(via.connection, unit, signal))?.status === status;
}

function hasFailed(error: unknown): boolean {
  return error instanceof AgentError && error.code === "incus.operation-failed";
}
