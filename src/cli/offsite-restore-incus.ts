import { parseConfig } from "../config/parse-config.ts";
import { awaitLock } from "../execute/await-lock.ts";
import { isRestoredAlready } from "../export/asked-restore.ts";
import { type BackupContent, backupContent } from "../export/backup-content.ts";
import { type Restored, restoreUnit } from "../export/restore-unit.ts";
import { refuseWithoutRoom } from "../export/room-for.ts";
import type { IncusServer } from "../incus/server.ts";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { UnitRecord } from "../model/export.ts";
import type { Side } from "../model/job.ts";
import { MARKS } from "../model/marks.ts";
import type { Archive, World } from "../model/ports.ts";
import type { Pool } from "../model/state.ts";
import { MINUTE_MS } from "../model/time.ts";
import { type Unit, unitLabel } from "../model/unit.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { transferProgress } from "./transfer-progress.ts";
import { findBackup, withArchive } from "./with-archive.ts";
import { workloadLockName } from "./workload-locks.ts";

/** As an offsite run waits for a replication run that has a workload. */
const LOCK_WAIT_MS = 15 * MINUTE_MS;

export type IncusRestoreFlags = {
  readonly toIncus: string;
  readonly server: Side | undefined;
  readonly pool: string | undefined;
  readonly replace: boolean;
  readonly yes: boolean;
  readonly withoutDevice: readonly string[];
  readonly ignoreSpace: boolean;
};

/** What the configuration asks for is restored once, and is told apart from what a person restores. */
export type Once = {
  /** Hears that it begins to take the place of what is there. */
  placing(): void;
  /** Takes out of the configuration what asked for it. */
  clear(): Promise<void>;
};

/** `iab offsite restore ID --to-incus NAME`: a backup becomes an instance or a volume again. */
export async function restoreToIncus(
  flags: IncusRestoreFlags,
  id: string,
  context: Context,
  once?: Once,
): Promise<number> {
  const { world } = context;
  return withArchive(context, async (archive) => {
    const backups = await archive.list(world.signal);
    const backup = findBackup(backups, id);
    return withServerOf(backup, flags.server, context, (server, url) =>
      restore({ flags, archive, backups, backup, server, url, once }, context),
    );
  });
}

type Restoring = {
  readonly flags: IncusRestoreFlags;
  readonly archive: Archive;
  readonly backups: readonly Backup[];
  readonly backup: Backup;
  readonly server: IncusServer;
  readonly url: string;
  readonly once: Once | undefined;
};

async function restore(restoring: Restoring, context: Context): Promise<number> {
  const { flags, archive, backups, backup, server, url, once } = restoring;
  const { signal, locks, clock, log } = context.world;
  const content = await backupContent(archive, backups, backup, signal);
  const pool = await poolFor(server, flags.pool ?? content.record.pool.name, signal);
  const unit = unitNamed(flags.toIncus, content.record, pool.name);
  const take = () => locks.take(workloadLockName(url, unit), () => "");
  // Somebody who sits there is told at once.
  const giveUpAt = clock.now() + (once === undefined ? 0 : LOCK_WAIT_MS);
  const lock = await awaitLock(unit, take, { clock, log, giveUpAt }, signal);
  try {
    return await restoreInto({ ...restoring, content, pool, unit }, context);
  } finally {
    await lock.release();
  }
}

type Into = Restoring & { readonly content: BackupContent; readonly pool: Pool; readonly unit: Unit };

async function restoreInto(into: Into, context: Context): Promise<number> {
  const { flags, backup, server, once, content, pool, unit } = into;
  const { world, globals } = context;
  const { signal, clock, log } = world;
  const label = unitLabel(unit);
  if (once !== undefined && (await isRestoredAlready({ server, clock }, unit, backup.id, signal))) {
    return settle(into, unit, context);
  }
  if (!flags.ignoreSpace) {
    await refuseWithoutRoom(server, { pool: pool.name, sizeBytes: content.sizeBytes, what: label }, signal);
  }
  const replaces = (await server.recordOf(unit, signal)) !== undefined;
  if (replaces) await refuseUnlessReplaced(unit, flags, world);
  log.info("restore.started", { id: backup.id, to: label, pool: pool.name, bytes: content.sizeBytes });
  const { note: onProgress, end } = transferProgress(`restoring ${label}`, content.sizeBytes, context);
  const asked = once && { backup: backup.id, placing: once.placing };
  const order = { server, clock, content, unit, replaces, pool, without: flags.withoutDevice, asked, onProgress };
  const restored = await restoreUnit(order, signal).finally(end);
  if (restored.leftOut.length > 0) log.warn("restore.left-out", { to: label, leftOut: restored.leftOut });
  log.info("restore.ended", { id: backup.id, to: label });
  if (once !== undefined) return settle(into, unit, context);
  if (!globals.quiet) world.print(summary(unit, restored));
  return EXIT.ok;
}

/** The last of what the configuration asks for: from here on nothing asks for it, and nothing tells of it. */
async function settle({ server, once }: Restoring, unit: Unit, { world }: Context): Promise<number> {
  await once?.clear();
  await server.patchConfig(unit, { [MARKS.restoring]: "" }, world.signal);
  return EXIT.ok;
}

/** Works with the server that a backup is of, or with the one that is wanted. */
export async function withServerOf<T>(
  backup: Backup,
  wanted: Side | undefined,
  { globals, world }: Context,
  work: (server: IncusServer, url: string) => Promise<T>,
): Promise<T> {
  const path = await findConfig(globals.config, world);
  const config = parseConfig(await world.files.read(path, world.signal));
  const side = wanted ?? (config.hosts.target.name === backup.tags["host"] ? "target" : "source");
  // Loaded on demand: what speaks to servers takes longer to start than all the rest.
  const { connectTo } = await import("./connect.ts");
  const server = await connectTo(side, config, path, world);
  try {
    return await work(server, config.hosts[side].url);
  } finally {
    await server.close();
  }
}

/** The pool of a server with this name; an error that names the others where there is none. */
export async function poolFor(server: IncusServer, name: string, signal: AbortSignal): Promise<Pool> {
  const pools = await server.pools([name], signal);
  const found = pools.find((pool) => pool.name === name);
  if (found !== undefined) return found;
  const { host } = await server.facts(signal);
  throw new AgentError("usage", `Cannot restore into the pool ${name}: ${host} has none of this name`, {
    hint: `Name one with --pool: ${pools.map((pool) => pool.name).join(", ")}`,
  });
}

/** As the incus CLI spells it: what kind of thing it is, the backup knows. */
function unitNamed(typed: string, record: UnitRecord, pool: string): Unit {
  const parts = typed.split("/");
  const [last = "", ...before] = [...parts].reverse();
  const badly = (expected: string) => new AgentError("usage", `Cannot restore to ${typed}: expected ${expected}`);
  if (parts.some((part) => part === "")) throw badly("a name");
  if (record.kind === "instance") {
    if (before.length > 1) throw badly("an instance, as web1 or project/web1");
    return { kind: "instance", project: before[0] ?? "default", name: last };
  }
  const [inPool = pool, project = "default", ...more] = before;
  if (more.length > 0) throw badly("a volume, as volume, pool/volume or project/pool/volume");
  if (inPool !== pool) throw badly(`a volume in the pool ${pool}; --pool ${inPool} names the other one`);
  return { kind: "volume", project, pool, name: last };
}

async function refuseUnlessReplaced(
  unit: Unit,
  { replace, yes }: IncusRestoreFlags,
  { terminal, signal }: World,
): Promise<void> {
  const label = unitLabel(unit);
  if (!replace) {
    throw new AgentError("usage", `Cannot restore to ${label}: it is there already`, {
      hint: "Name another one; with --replace the one that is there is set aside, under another name",
    });
  }
  if (yes) return;
  if (!terminal.stdinIsTerminal) {
    throw new AgentError("usage", `Cannot replace ${label}: nobody is there to be asked`, {
      hint: "Say --yes to do it",
    });
  }
  const question = `${label} will be stopped and set aside. Type its name to go on: `;
  if ((await terminal.ask(question, { hidden: false }, signal)).trim() === unit.name) return;
  throw new AgentError("usage", `Cannot replace ${label}: that was not its name`);
}

function summary(unit: Unit, { leftOut, aside }: Restored): string {
  return [
    `Restored ${unitLabel(unit)}.`,
    ...leftOut.map((what) => `Left out, since it is a copy: ${what}`),
    ...(aside === undefined
      ? []
      : [
          `What was there is ${aside} now, ${unit.kind === "instance" ? "stopped and without network; " : ""}delete it when all is well.`,
        ]),
  ].join("\n");
}
