import type { Side } from "./job.ts";
import type { ReadingWay } from "./offsite.ts";
import type { Pool, Workload } from "./state.ts";
import { unitId } from "./unit.ts";

/** Where something is read, and how: one reader serves each place. */
export type ReadingPlace = {
  readonly read: ReadingWay;
  /** The server whose workloads these are. */
  readonly host: Side;
  /** Where the pool's storage is on this machine, where it is not where Incus has it: a dataset, or a folder of btrfs. */
  readonly root: string | undefined;
};

/** Whose reading it is: what a reader makes for it bears both, so that it is known again. */
export type ReadingRun = {
  /** Whose backups these are: `user@host`, as the archive has it. */
  readonly owner: string;
  /** What snapshots are called, unlike any of another owner: `offsite-20261120-040000-1f3c`. */
  readonly name: string;
};

/** Something that is backed up: a workload as the server listed it, or a dataset of ZFS that Incus need not know. */
export type Subject =
  | {
      readonly kind: "workload";
      readonly workload: Workload;
      /** Where its data is: of an instance the pool of its root disk. */
      readonly pool: Pool;
    }
  | { readonly kind: "dataset"; readonly dataset: string };

/** A subject's identity in step ids, reports, tags and logs. */
export function subjectId(subject: Subject): string {
  return subject.kind === "dataset" ? `zfs:${subject.dataset}` : unitId(subject.workload);
}

/**
 * What is read of one subject: its files as a folder, or one stream of bytes. The name is unique within its subject and
 * the same each time, since backups of one part build on each other: `files`, `disk`, `export`, `config`. Parts beyond
 * these have longer ones: `files/var/lib/nested`.
 */
export type Part =
  | {
      readonly kind: "folder";
      readonly role: "files";
      readonly name: string;
      /** Readable on this machine until the opened subject is closed, wherever it is this time. */
      readonly folder: string;
    }
  | {
      readonly kind: "stream";
      /** `block`: the bytes of a disk. `export`: a tar as Incus exports it. `config`: all that its server says of it, as JSON. */
      readonly role: "block" | "export" | "config";
      readonly name: string;
      /** What the archive calls the one file that the stream becomes: `disk.img`, `export.tar`, `instance.json`. */
      readonly fileName: string;
      /** Undefined where nobody knows before its end. */
      readonly sizeBytes: number | undefined;
      /** Begins anew with each call. It throws, rather than ends, where what came is not the whole. */
      readonly bytes: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
    };

/** A subject that can be read now. What it stands on is gone after `close`, which is called whatever happens. */
export type OpenSubject = {
  readonly parts: readonly Part[];
  /** The snapshot of Incus that is read, where it is one. */
  readonly snapshot: string | undefined;
  close(): Promise<void>;
};
