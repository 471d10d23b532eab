import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { parseConfig } from "../config/parse-config.ts";
import type { Owner } from "../kopia/arguments.ts";
import { type ArchiveOptions, openArchive } from "../kopia/open-archive.ts";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import type { Archive, World } from "../model/ports.ts";
import type { Context } from "./command.ts";
import { findConfig } from "./find-config.ts";
import { reveal } from "./reveal.ts";

/** Opens the archive of the configuration to look into it and to restore; closes it whatever happens. */
export async function withArchive<T>({ globals, world }: Context, work: (archive: Archive) => Promise<T>): Promise<T> {
  const path = await findConfig(globals.config, world);
  const offsite = offsitePart(parseConfig(await world.files.read(path, world.signal)), path);
  const archive = await openArchive(await archiveOptions(offsite, world), world.signal);
  try {
    return await work(archive);
  } finally {
    await archive.close();
  }
}

/** The part of the configuration that says where backups go; an error where there is none. */
export function offsitePart({ offsite }: Config, path: string): OffsiteConfig {
  if (offsite !== undefined) return offsite;
  throw new AgentError("config.invalid", `Cannot tell what goes offsite: ${path} has no offsite part`, {
    hint: "docs/offsite.md shows what belongs there",
  });
}

/** The one backup with this id, or with an id that begins so. */
export function findBackup(backups: readonly Backup[], id: string): Backup {
  const found = backups.filter((backup) => backup.id.startsWith(id));
  const [only, another] = found;
  if (only !== undefined && another === undefined) return only;
  const why = only === undefined ? "there is none of this host" : `${found.length} ids begin so`;
  throw new AgentError("kopia.not-found", `Cannot find backup ${id}: ${why}`, {
    hint: "iab offsite list shows the ids; backups of other hosts are found with their offsite.hostname and username",
  });
}

/** Whose backups these are: as configured, else by this machine and user. */
export async function ownerOf(config: OffsiteConfig, world: World): Promise<Owner> {
  const { environment, signal } = world;
  const hostname = config.hostname ?? (await ownName(world));
  const username = config.username ?? environment["USER"] ?? environment["LOGNAME"] ?? "root";
  signal.throwIfAborted();
  return { hostname, username };
}

/** What the archive of a configuration is opened with. */
export async function archiveOptions(config: OffsiteConfig, world: World): Promise<ArchiveOptions> {
  const { clock, files, processes, environment } = world;
  return {
    config,
    owner: await ownerOf(config, world),
    folder: config.cache.folder ?? cacheFolder(environment),
    program: environment["IAB_KOPIA"] ?? "kopia",
    reveal: (ref) => reveal(ref, world),
    processes,
    files,
    clock,
  };
}

/** As Kopia has it by itself: in lower case, without the domain. */
async function ownName({ files, signal }: World): Promise<string> {
  const name = (await files.read("/proc/sys/kernel/hostname", signal)).trim().toLowerCase();
  return name.split(".")[0] ?? name;
}

function cacheFolder(environment: World["environment"]): string {
  const home = environment["HOME"];
  // systemd may name several folders; the first is the unit's own.
  const base =
    environment["CACHE_DIRECTORY"]?.split(":")[0] ??
    environment["XDG_CACHE_HOME"] ??
    (home === undefined ? undefined : join(home, ".cache"));
  if (base !== undefined) return join(base, "iab", "kopia");
  throw new AgentError(
    "config.invalid",
    "Cannot tell where Kopia's cache belongs: neither $CACHE_DIRECTORY nor $HOME is set",
    {
      hint: "name a folder as offsite.cache.directory",
    },
  );
}
