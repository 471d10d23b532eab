import type { EpochMs } from "./time.ts";

/** A backup in the archive. */
export type Backup = {
  readonly id: string;
  readonly at: EpochMs;
  readonly endedAt: EpochMs;
  readonly sizeBytes: number;
  readonly fileCount: number;
  /** Whose it is and what it is of: `user@host:/path`. */
  readonly source: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  /** The name of its one file where it was made from a stream. */
  readonly streamName: string | undefined;
  /** Mode and owners of the folder that was backed up. */
  readonly root?: { readonly mode: number; readonly uid: number; readonly gid: number } | undefined;
  /** `incomplete`: it was ended before its end. `damaged`: something of it could not be read. */
  readonly state: "complete" | "incomplete" | "damaged";
};

/** What is backed up, as it stands in the archive. The path is its identity: the same one each time. */
export type BackupOf = {
  readonly path: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
};

/** How far a backup is. */
export type BackupProgress = { readonly percent: number | undefined; readonly text: string };

/** What reading back has shown: how many objects were looked at, and how many files read whole. */
export type Verified = { readonly objects: number; readonly filesRead: number; readonly bytesRead: number };

/** Whether the archive was tidied up here, or whose duty that is. */
export type Maintained = { readonly done: boolean; readonly owner: string; readonly lastAt: EpochMs | undefined };
