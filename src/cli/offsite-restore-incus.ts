import { randomBytes } from "node:crypto";
import { parseConfig } from "../config/parse-config.ts";
import { backupContent } from "../export/backup-content.ts";
import { makeUnit } from "../export/make-unit.ts";
import { putInPlace } from "../export/put-in-place.ts";
import { restoredRecord, type Wish } from "../export/restored-record.ts";
import { refuseWithoutRoom } from "../export/room-for.ts";
import type { IncusServer } from "../incus/server.ts";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { UnitRecord } from "../model/export.ts";
import type { Side } from "../model/job.ts";
import type { Archive, World } from "../model/ports.ts";
import { snapshotName } from "../model/snapshot.ts";
import type { Pool } from "../model/state.ts";
import { type Unit, unitId, unitLabel } from "../model/unit.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { transferProgress } from "./transfer-progress.ts";
import { findBackup, withArchive } from "./with-archive.ts";

export type IncusRestoreFlags = {
  readonly toIncus: string;
  readonly server: Side | undefined;
  readonly pool: string | undefined;
  readonly replace: boolean;
  readonly yes: boolean;
  readonly withoutDevice: readonly string[];
  readonly ignoreSpace: boolean;
};

/** `iab offsite restore ID --to-incus NAME`: a backup becomes an instance or a volume again. */
export async function restoreToIncus(flags: IncusRestoreFlags, id: string, context: Context): Promise<number> {
  const { world } = context;
  return withArchive(context, async (archive) => {
    const backups = await archive.list(world.signal);
    const backup = findBackup(backups, id);
    return withServerOf(backup, flags.server, context, (server) =>
      restore({ flags, archive, backups, backup, server }, context),
    );
  });
}

type Restoring = {
  readonly flags: IncusRestoreFlags;
  readonly archive: Archive;
  readonly backups: readonly Backup[];
  readonly backup: Backup;
  readonly server: IncusServer;
};

async function restore({ flags, archive, backups, backup, server }: Restoring, context: Context): Promise<number> {
  const { world, globals } = context;
  const { signal, clock, log } = world;
  const content = await backupContent(archive, backups, backup, signal);
  const pool = await poolFor(server, flags.pool ?? content.record.pool.name, signal);
  const unit = unitNamed(flags.toIncus, content.record, pool.name);
  if (!flags.ignoreSpace) {
    const orElse = "; --ignore-space tries it, since zeros and what is compressed may take less";
    const wanted = { pool: pool.name, sizeBytes: content.sizeBytes, what: unitLabel(unit), orElse };
    await refuseWithoutRoom(server, wanted, signal);
  }
  const existing = await server.recordOf(unit, signal);
  if (existing !== undefined) await refuseUnlessReplaced(unit, flags, world);
  const made = existing === undefined ? unit : { ...unit, name: temporaryName() };
  const mark = randomBytes(8).toString("hex");
  const as = unitId(unit) === idOf(content.record) ? "itself" : "copy";
  const wish: Wish = { unit: made, pool, as: existing === undefined ? as : "copy", without: flags.withoutDevice, mark };
  const { record, leftOut } = restoredRecord(content.record, wish);
  if (existing !== undefined) await server.createSnapshot(unit, safetyName(clock.now()), signal);
  log.info("restore.started", { id: backup.id, to: unitLabel(made), pool: pool.name, bytes: content.sizeBytes });
  const progress = transferProgress(`restoring ${unitLabel(unit)}`, content.sizeBytes, context);
  try {
    const making = { server, clock, onProgress: progress.note };
    await makeUnit(making, { unit: made, pool: pool.name, mark, file: (under) => content.file(record, under) }, signal);
  } finally {
    progress.end();
  }
  const aside = `${unit.name}-before-${safetyName(clock.now()).slice("iab-restore-".length)}`;
  if (existing !== undefined) {
    const itself = restoredRecord(content.record, { ...wish, unit, as: "itself" }).record;
    await replaceOld(server, { old: unit, restored: made, aside, record: itself }, signal);
  } else if (leftOut.length > 0) log.warn("restore.left-out", { to: unitLabel(unit), leftOut });
  log.info("restore.ended", { id: backup.id, to: unitLabel(unit) });
  if (!globals.quiet)
    world.print(summary(unit, existing === undefined ? undefined : aside, existing === undefined ? leftOut : []));
  return EXIT.ok;
}

/** What cannot take its place is removed again: it is in the archive still. */
async function replaceOld(
  server: IncusServer,
  exchange: Parameters<typeof putInPlace>[1],
  signal: AbortSignal,
): Promise<void> {
  let isDone = false;
  try {
    await putInPlace(server, exchange, signal);
    isDone = true;
  } finally {
    if (!isDone) await server.remove(exchange.restored, AbortSignal.timeout(120_000));
  }
}

/** Works with the server that a backup is of, or with the one that is wanted. */
export async function withServerOf<T>(
  backup: Backup,
  wanted: Side | undefined,
  { globals, world }: Context,
  work: (server: IncusServer) => Promise<T>,
): Promise<T> {
  const path = await findConfig(globals.config, world);
  const config = parseConfig(await world.files.read(path, world.signal));
  const side = wanted ?? (config.hosts.target.name === backup.tags["host"] ? "target" : "source");
  // Loaded on demand: what speaks to servers takes longer to start than all the rest.
  const { connectTo } = await import("./connect.ts");
  const server = await connectTo(side, config, path, world);
  try {
    return await work(server);
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

function idOf(record: UnitRecord): string {
  const words = record.kind === "instance" ? record.instance : record.volume;
  const project = String(words["project"] ?? "default");
  const name = String(words["name"]);
  return unitId(
    record.kind === "instance"
      ? { kind: "instance", project, name }
      : { kind: "volume", project, pool: record.pool.name, name },
  );
}

function temporaryName(): string {
  return `restore-${randomBytes(6).toString("hex")}`;
}

function safetyName(now: number): string {
  return snapshotName(now).replace("IAB_", "iab-restore-");
}

function summary(unit: Unit, aside: string | undefined, leftOut: readonly string[]): string {
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
