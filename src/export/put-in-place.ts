import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import type { UnitFiles, UnitRecord } from "../model/export.ts";
import { MARKS } from "../model/marks.ts";
import type { Server } from "../model/ports.ts";
import type { Config, Devices } from "../model/state.ts";
import { MINUTE_MS } from "../model/time.ts";
import { type InstanceUnit, type Unit, unitLabel } from "../model/unit.ts";

type Replacing = Server & UnitFiles;

/** What takes whose place, and where that one goes. */
export type Exchange = {
  readonly old: Unit;
  /** What was restored, under a name of its own, as a copy. */
  readonly restored: Unit;
  /** What the old one is called from then on. */
  readonly aside: string;
  /** What the restored one is to be when it is in its place. */
  readonly record: UnitRecord;
  /** Hears which instances will be stopped for it, before anything is done. */
  readonly begin?: (running: readonly InstanceUnit[]) => Promise<void>;
};

const STOP = { timeoutMs: MINUTE_MS, force: false } as const;
const UNDO_MS = 10 * MINUTE_MS;
const StringMap = z.record(z.string(), z.string()).catch({});
const DeviceMap = z.record(z.string(), StringMap).catch({});

/**
 * Puts what was restored in the place of what is there: that one is stopped, set aside whole under another name, and
 * never deleted. What goes wrong half-way is turned back, and what ran before runs afterwards.
 */
export async function putInPlace(server: Replacing, exchange: Exchange, signal: AbortSignal): Promise<void> {
  const { old } = exchange;
  const running = await runningUsers(server, old, signal);
  await exchange.begin?.(running);
  const undo: Undo = [];
  const [worked] = await Promise.allSettled([exchangeAll(server, exchange, running, undo, signal)]);
  const under = AbortSignal.timeout(UNDO_MS);
  if (worked.status === "fulfilled") {
    for (const user of running) await startAgain(server, user, under);
    return;
  }
  // What went wrong first counts for more than what then could not be turned back.
  for (const step of undo.reverse()) await Promise.allSettled([step(under)]);
  throw worked.reason;
}

async function exchangeAll(
  server: Replacing,
  exchange: Exchange,
  running: readonly InstanceUnit[],
  undo: Undo,
  signal: AbortSignal,
): Promise<void> {
  for (const user of running) {
    undo.push((under) => startAgain(server, user, under));
    await server.changeState(user, "stop", STOP, signal);
  }
  if (exchange.old.kind === "instance") await exchangeInstances(server, exchange, undo, signal);
  else await exchangeVolumes(server, exchange, undo, signal);
}

type Undo = ((under: AbortSignal) => Promise<void>)[];

/** Two instances with one address in a network are refused, so the old one gives up its devices of that kind. */
async function exchangeInstances(
  server: Replacing,
  exchange: Exchange,
  undo: Undo,
  signal: AbortSignal,
): Promise<void> {
  const { old, restored, aside, record } = exchange;
  if (old.kind !== "instance" || restored.kind !== "instance" || record.kind !== "instance") return;
  const before = await server.recordOf(old, signal);
  const given = before?.kind === "instance" ? DeviceMap.parse(before.instance["devices"]) : {};
  const own: Devices = { ...given };
  const nics = Object.fromEntries(Object.entries(own).filter(([, device]) => device["type"] === "nic"));
  const none = Object.fromEntries(Object.keys(nics).map((name) => [name, { type: "none" }]));
  const autostart = before?.kind === "instance" ? StringMap.parse(before.instance["config"])["boot.autostart"] : "";
  const oldAside: InstanceUnit = { ...old, name: aside };

  await server.rename(old, aside, signal);
  undo.push((under) => server.rename(oldAside, old.name, under));
  undo.push(async (under) => {
    await server.patchDevices(oldAside, nics, under);
    await server.patchConfig(oldAside, { "boot.autostart": autostart ?? "", [MARKS.dropped]: "" }, under);
  });
  await server.patchConfig(oldAside, { "boot.autostart": "false", [MARKS.dropped]: JSON.stringify(nics) }, signal);
  await server.patchDevices(oldAside, none, signal);

  await server.rename(restored, old.name, signal);
  undo.push((under) => server.rename(old, restored.name, under));
  await server.patchDevices(old, withPool(DeviceMap.parse(record.instance["devices"]), record.pool.name), signal);
  await server.patchConfig(old, identityOf(record), signal);
}

/** Instances follow a volume to its new name, and have to be led back to the old one. */
async function exchangeVolumes(server: Replacing, exchange: Exchange, undo: Undo, signal: AbortSignal): Promise<void> {
  const { old, restored, aside } = exchange;
  if (old.kind !== "volume") return;
  const users = await usersOf(server, old, signal);
  const devices = await Promise.all(
    users.map(async (user) => [user, await devicesOn(server, user, old, signal)] as const),
  );
  const oldAside: Unit = { ...old, name: aside };
  const leadBack = async (under: AbortSignal) => {
    for (const [user, own] of devices) await server.patchDevices(user, own, under);
  };
  undo.push(leadBack);
  await server.rename(old, aside, signal);
  undo.push((under) => server.rename(oldAside, old.name, under));
  await server.rename(restored, old.name, signal);
  undo.push((under) => server.rename(old, restored.name, under));
  await leadBack(signal);
}

/** What of a configuration makes an instance itself: also what a copy must not have. */
function identityOf(record: UnitRecord & { kind: "instance" }): Config {
  const config = StringMap.parse(record.instance["config"]);
  const kept = ([key]: [string, string]) =>
    key !== MARKS.restoring && (!key.startsWith("volatile.") || /^volatile\..+\.hwaddr$/.test(key));
  return { "boot.autostart": "", ...Object.fromEntries(Object.entries(config).filter(kept)) };
}

function withPool(devices: Devices, pool: string): Devices {
  return Object.fromEntries(
    Object.entries(devices).map(([name, device]) => [name, device["path"] === "/" ? { ...device, pool } : device]),
  );
}

async function runningUsers(server: Replacing, old: Unit, signal: AbortSignal): Promise<InstanceUnit[]> {
  const users = old.kind === "instance" ? [old] : await usersOf(server, old, signal);
  const found = await Promise.all(users.map((user) => server.instance(user, signal)));
  return users.filter((_, index) => !["Stopped", undefined].includes(found[index]?.status));
}

async function usersOf(
  server: Replacing,
  volume: Unit & { kind: "volume" },
  signal: AbortSignal,
): Promise<InstanceUnit[]> {
  const found = (await server.volumes([volume.pool], signal)).find(
    ({ name, project }) => name === volume.name && project === volume.project,
  );
  return [...(found?.usedBy ?? [])];
}

async function devicesOn(
  server: Replacing,
  user: InstanceUnit,
  volume: Unit & { kind: "volume" },
  signal: AbortSignal,
): Promise<Devices> {
  const instance = await server.instance(user, signal);
  const isOf = ([, device]: [string, Devices[string]]) =>
    device["type"] === "disk" && device["pool"] === volume.pool && device["source"] === volume.name;
  return Object.fromEntries(Object.entries(instance?.devices ?? {}).filter(isOf));
}

async function startAgain(server: Replacing, user: InstanceUnit, signal: AbortSignal): Promise<void> {
  if ((await server.instance(user, signal))?.status !== "Stopped") return;
  try {
    await server.changeState(user, "start", STOP, signal);
  } catch (cause) {
    throw new AgentError("instance.down", `Cannot start ${unitLabel(user)} again after the restore`, { cause });
  }
}
