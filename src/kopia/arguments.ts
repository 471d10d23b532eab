import type { BackupOf } from "../model/archive.ts";

/** Who the backups belong to. */
export type Owner = { readonly username: string; readonly hostname: string };

/** `user@host`, as Kopia spells an owner of backups. */
export function ownerText({ username, hostname }: Owner): string {
  return `${username}@${hostname}`;
}

/** Makes a repository. The storage comes on stdin, the password by the environment. */
export function createArguments({ hostname, username }: Owner): string[] {
  const owner = [`--override-hostname=${hostname}`, `--override-username=${username}`];
  return ["repository", "create", "from-config", "--token-stdin", "--create-only", ...owner];
}

/** Backs a folder up, under a path that stays the same wherever the folder is mounted. */
export function folderArguments(folder: string, what: BackupOf, owner: Owner): string[] {
  return ["snapshot", "create", folder, ...snapshotFlags(what, owner)];
}

/** Backs stdin up as one file. */
export function streamArguments(name: string, what: BackupOf, owner: Owner): string[] {
  return ["snapshot", "create", what.path, `--stdin-file=${name}`, ...snapshotFlags(what, owner)];
}

function snapshotFlags({ path, description, tags }: BackupOf, owner: Owner): string[] {
  return [
    "--json",
    `--override-source=${ownerText(owner)}:${path}`,
    `--description=${description.slice(0, 1024)}`,
    ...Object.entries(tags).map(([key, value]) => `--tags=${key}:${value}`),
    // Maintenance is a step of its own: when it fails, or takes long, the backup is none the worse.
    "--no-auto-maintenance",
    "--no-send-snapshot-report",
    "--progress",
    "--progress-update-interval=2s",
  ];
}

/** Writes a backup below a folder. What is there is left alone, and an owner that cannot be set is an error. */
export function restoreArguments(id: string, folder: string, { owners }: { readonly owners: boolean }): string[] {
  return [
    "snapshot",
    "restore",
    id,
    folder,
    // Otherwise a folder named x.tar would become a tar.
    "--mode=local",
    "--write-sparse-files",
    "--no-overwrite-files",
    "--no-overwrite-symlinks",
    "--progress",
    ...(owners ? ["--no-ignore-permission-errors"] : ["--skip-owners"]),
  ];
}

/** Writes a backup to stdout: the bytes of its one stream, or a tar of its files. */
export function outputArguments(id: string, stream: { rootObject: string; name: string } | undefined): string[] {
  if (stream === undefined) return ["snapshot", "restore", id, "--mode=tar", "/dev/stdout"];
  return ["show", `${stream.rootObject}/${stream.name}`];
}

/** Checks backups: all of their structure, and that many percent of the files by reading them. */
export function verifyArguments(ids: readonly string[], percent: number): string[] {
  return ["snapshot", "verify", ...ids, "--json", `--verify-files-percent=${percent}`, "--max-errors=10"];
}
