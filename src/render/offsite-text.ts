import type { Backup, Verified } from "../model/archive.ts";
import { type EpochMs, rfc3339 } from "../model/time.ts";
import { agoText, countText, sizeText } from "./amounts.ts";
import { type Column, csvText, type Format, inFormat, listText } from "./table.ts";

/** The backups in the archive: for people without what only programs want. */
export function backupsText(format: Format, backups: readonly Backup[]): string {
  return listText(format, COLUMNS, backups, backups.map(backupData));
}

const COLUMNS: readonly Column<Backup>[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "TIME", cell: ({ at }) => wholeSeconds(at) },
  { title: "SIZE", cell: ({ sizeBytes }) => sizeText(sizeBytes), align: "right" },
  { title: "SOURCE", cell: ({ source }) => source },
  { title: "DESCRIPTION", cell: ({ description }) => description },
  { title: "STATE", cell: ({ state }) => state },
];

function backupData(backup: Backup): object {
  const { fileCount: files, tags, state } = backup;
  return { ...snapshotData(backup), end: rfc3339(backup.endedAt), files, tags, state };
}

/** The backups, or why they cannot be told. */
export type ArchiveStatus = (
  | { readonly backups: readonly Backup[]; readonly trouble: undefined }
  | { readonly backups: undefined; readonly trouble: string }
) & {
  /** The run that is at work, if one is. */
  readonly running: { readonly percent: number } | undefined;
};

/** How it stands with the archive; for programs in the words of IncusOS's Kopia service. */
export function archiveStatusText(format: Format, status: ArchiveStatus, now: EpochMs): string {
  const complete = (status.backups ?? []).filter(({ state }) => state === "complete");
  const last = complete.at(-1);
  const state = {
    repository_connected: status.trouble === undefined,
    last_backup: last === undefined ? "" : rfc3339(last.at),
    last_status: status.trouble ?? lastStatus(status.backups ?? []),
    in_progress: status.running !== undefined,
    progress: status.running?.percent ?? 0,
    available_snapshots: complete.map(snapshotData),
  };
  return inFormat(format, {
    text: () =>
      [
        `Repository:  ${state.repository_connected ? "open" : "cannot be opened"}`,
        `Last backup: ${last === undefined ? "none" : `${agoText(last.at, now)}, ${last.source} (${sizeText(last.sizeBytes)})`}`,
        `Last status: ${state.last_status}`,
        `Available:   ${countText(complete.length, "backup")}`,
        ...(status.running === undefined ? [] : [`At work:     a run, ${state.progress} % done`]),
        "",
      ].join("\n"),
    data: () => state,
    csv: () => csvText(STATE_COLUMNS, [state]),
  });
}

type State = Readonly<Record<"last_backup" | "last_status", string>> & {
  readonly repository_connected: boolean;
  readonly available_snapshots: readonly object[];
  readonly in_progress: boolean;
  readonly progress: number;
};

const STATE_COLUMNS: readonly Column<State>[] = [
  { title: "CONNECTED", cell: ({ repository_connected }) => String(repository_connected) },
  { title: "LAST BACKUP", cell: ({ last_backup }) => last_backup },
  { title: "LAST STATUS", cell: ({ last_status }) => last_status },
  { title: "PROGRESS", cell: ({ in_progress, progress }) => (in_progress ? String(progress) : "") },
  { title: "AVAILABLE", cell: ({ available_snapshots }) => String(available_snapshots.length) },
];

function lastStatus(backups: readonly Backup[]): string {
  switch (backups.at(-1)?.state) {
    case undefined:
      return "no backup yet";
    case "complete":
      return "success";
    case "incomplete":
      return "incomplete: the last backup was ended before its end";
    case "damaged":
      return "failed: something could not be read for the last backup";
  }
}

function snapshotData({ id, at, sizeBytes, source, description }: Backup): object {
  return { id, time: rfc3339(at), size: sizeBytes, source, description };
}

function wholeSeconds(at: EpochMs): string {
  return rfc3339(Math.floor(at / 1000) * 1000);
}

/** What a verification has read. */
export function verifiedText(format: Format, verified: Verified & { readonly backups: number }): string {
  const { backups, objects, filesRead, bytesRead } = verified;
  const data = { backups, objects, filesRead, bytesRead };
  return inFormat(format, {
    text: () =>
      `${countText(backups, "backup")} verified: ${countText(objects, "object")} in place, ${countText(filesRead, "file")} (${sizeText(bytesRead)}) read back\n`,
    data: () => data,
    csv: () => csvText(VERIFIED_COLUMNS, [data]),
  });
}

const VERIFIED_COLUMNS: readonly Column<Verified & { readonly backups: number }>[] = [
  { title: "BACKUPS", cell: ({ backups }) => String(backups) },
  { title: "OBJECTS", cell: ({ objects }) => String(objects) },
  { title: "FILES READ", cell: ({ filesRead }) => String(filesRead) },
  { title: "BYTES READ", cell: ({ bytesRead }) => String(bytesRead) },
];
