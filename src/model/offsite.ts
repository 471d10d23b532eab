import type { Side } from "./job.ts";
import type { SecretRef } from "./secret.ts";
import type { EpochMs } from "./time.ts";

/** Where a repository is, with what it takes to get in. Fields that may be left out are undefined. */
export type OffsiteBackend =
  | { readonly type: "filesystem"; readonly path: string }
  | {
      readonly type: "s3";
      /** `host` or `host:port`, the scheme cut off. */
      readonly endpoint: string;
      /** Plain HTTP, which the configuration asks for by writing `http://`. */
      readonly plain: boolean;
      readonly bucket: string;
      readonly accessKey: SecretRef;
      readonly secretKey: SecretRef;
      readonly region: string | undefined;
      /** With its slash at the end; empty for none. */
      readonly prefix: string;
      /** A file with the PEM certificates of a private CA. */
      readonly caFile: string | undefined;
    }
  | {
      readonly type: "sftp";
      readonly host: string;
      readonly port: number;
      readonly username: string;
      readonly path: string;
      readonly login:
        | { readonly kind: "password"; readonly password: SecretRef }
        | { readonly kind: "key-file"; readonly path: string }
        | { readonly kind: "key"; readonly key: SecretRef };
      readonly hostKeys:
        | { readonly kind: "file"; readonly path: string }
        | { readonly kind: "lines"; readonly lines: string };
    }
  | {
      readonly type: "webdav";
      readonly url: string;
      readonly username: string | undefined;
      readonly password: SecretRef | undefined;
    }
  | {
      readonly type: "b2";
      readonly bucket: string;
      readonly keyId: SecretRef;
      readonly key: SecretRef;
      readonly prefix: string;
    }
  | {
      readonly type: "azure";
      readonly container: string;
      readonly storageAccount: string;
      readonly login:
        | { readonly kind: "key"; readonly key: SecretRef }
        | { readonly kind: "sas"; readonly token: SecretRef };
      readonly storageDomain: string | undefined;
      readonly prefix: string;
    }
  | {
      readonly type: "gcs";
      readonly bucket: string;
      readonly credentialsFile: string | undefined;
      readonly prefix: string;
    }
  | { readonly type: "rclone"; readonly remotePath: string; readonly program: string | undefined };

/** Kopia's own counts; what is undefined is left to Kopia's policy. */
export type OffsiteRetention = {
  readonly keepLatest: number | undefined;
  readonly keepHourly: number | undefined;
  readonly keepDaily: number | undefined;
  readonly keepWeekly: number | undefined;
  readonly keepMonthly: number | undefined;
  readonly keepAnnual: number | undefined;
};

export const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** IncusOS's window: the end minute is part of it; with days it is one span from day to day, without them daily. */
export type MaintenanceWindow = {
  readonly days: { readonly start: Weekday; readonly end: Weekday } | undefined;
  readonly startHour: number;
  readonly startMinute: number;
  readonly endHour: number;
  readonly endMinute: number;
};

/** How workloads are read: from snapshots of the storage below them, or as a stream from Incus. */
export type ReadingWay = "zfs" | "btrfs" | "export";

/** One entry of `sources`: what is backed up, and how it is read. Names may be patterns. */
export type OffsiteSource = {
  readonly read: ReadingWay;
  /** The server whose workloads these are. */
  readonly host: Side;
  /** Whole pools of Incus: every instance and custom volume in them. */
  readonly pools: readonly string[];
  readonly instances: readonly { readonly project: string; readonly name: string }[];
  readonly volumes: readonly { readonly project: string; readonly pool: string; readonly name: string }[];
  /** ZFS only: datasets, whether Incus knows them or not. */
  readonly datasets: readonly string[];
  /** Where the pool's storage is on this machine, where it is not where Incus has it: a dataset, or a folder of btrfs. */
  readonly root: string | undefined;
};

export type OffsiteConfig = {
  readonly enabled: boolean;
  readonly repositoryPassword: SecretRef;
  readonly backend: OffsiteBackend;
  /** Whether a repository may be made where the storage holds none. */
  readonly create: boolean;
  readonly retention: OffsiteRetention;
  /** A restore that is asked for once; undefined for none. */
  readonly restoreSnapshotId: string | undefined;
  /** Overrides of who the snapshots belong to; undefined for this machine's own. */
  readonly hostname: string | undefined;
  readonly username: string | undefined;
  readonly sources: readonly OffsiteSource[];
  /** None: any time. `incusos`: those of the host that the sources are on. */
  readonly maintenanceWindows: readonly MaintenanceWindow[] | "incusos";
  /** With `incusos`: those that count where the host's own cannot be read. None: then that is an error. */
  readonly fallbackWindows: readonly MaintenanceWindow[];
  /** The windows' time zone; undefined for that of this machine. */
  readonly timeZone: string | undefined;
  /** Kopia policies to import, as `kopia policy export` writes them. */
  readonly policiesFile: string | undefined;
  readonly cache: {
    readonly folder: string | undefined;
    readonly contentBytes: number | undefined;
    readonly metadataBytes: number | undefined;
  };
  readonly uploadBytesPerSecond: number | undefined;
  /** A network that is down for less is waited out, as Kopia itself does; after more, Kopia is ended. */
  readonly idleMs: number;
  readonly windowEnd: "stop" | "finish";
  readonly healthchecksUrl: SecretRef | undefined;
};

/** How it stands with the maintenance windows at one moment. */
export type WindowState = {
  readonly active: boolean;
  /** When the next one opens after this moment; undefined where none does. */
  readonly opensAt: EpochMs | undefined;
  /** When the open one closes, or the next to open; undefined where that never happens. */
  readonly closesAt: EpochMs | undefined;
};
