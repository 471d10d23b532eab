import type { S3Server } from "../lab/s3-server.ts";
import type { TcpProxy } from "../lab/tcp-proxy.ts";

/** How long a silent storage is waited for; by default it is a quarter of an hour. */
export const IDLE = "10s";
/** Kopia tries a write ten times before it says why it fails, and makes no progress until then. */
const LONGER_THAN_RETRIES = "90s";

/** A storage of a fault's own, and the way to it. */
export type Stage = { readonly s3: S3Server; readonly proxy: TcpProxy };

export type Fault = {
  readonly name: string;
  readonly read: "btrfs" | "export";
  readonly idle?: string;
  /** What of the configuration is wrong. */
  readonly wrong?: (stage: Stage) => object;
  /** Makes the storage so, before the run; without it there is a server that works. */
  readonly before?: (stage: Stage) => Promise<void>;
  /** Whether there is a backup already, when all was still well. */
  readonly hasBackup?: true;
  /** Strikes when the upload is on its way. */
  readonly during?: (stage: Stage) => Promise<void>;
  readonly heal?: (stage: Stage) => Promise<void>;
  /** The error and its remedy. */
  readonly says: RegExp;
  readonly hint: RegExp;
  readonly withinSeconds: number;
};

export const FAULTS: readonly Fault[] = [
  {
    name: "the server is killed in the middle of an upload",
    read: "btrfs",
    during: ({ s3 }) => s3.kill(),
    heal: ({ s3 }) => s3.start(),
    says: /the storage cannot be reached/,
    hint: /check endpoint and network/,
    withinSeconds: 60,
  },
  {
    name: "the network goes silent in the middle of an upload",
    read: "export",
    during: async ({ proxy }) => proxy.stallAfter(0),
    heal: async ({ proxy }) => proxy.cutAfter(0),
    says: /Kopia made no progress for 10 seconds, and was ended/,
    hint: /check that the storage answers/,
    withinSeconds: 60,
  },
  {
    name: "the server is full",
    read: "btrfs",
    before: ({ s3 }) => s3.start({ sizeMib: 24 }),
    hasBackup: true,
    idle: LONGER_THAN_RETRIES,
    heal: async ({ s3 }) => s3.enlarge(256),
    says: /the storage is full/,
    hint: /make room there/,
    withinSeconds: 180,
  },
  {
    name: "the server refuses connections",
    read: "export",
    before: async () => {},
    heal: ({ s3 }) => s3.start(),
    says: /the storage cannot be reached/,
    hint: /check endpoint and network/,
    withinSeconds: 30,
  },
  {
    name: "the server takes the connection and says nothing",
    read: "export",
    wrong: ({ s3 }) => ({ backend: s3.block({ port: blackHole.port }) }),
    says: /Kopia made no progress for 10 seconds, and was ended/,
    hint: /check that the storage answers/,
    withinSeconds: 30,
  },
  {
    name: "the repository has another password",
    read: "export",
    hasBackup: true,
    wrong: () => ({ repository_password: "another-password" }),
    says: /the repository has another password/,
    hint: /check offsite.repository_password/,
    withinSeconds: 30,
  },
  {
    name: "the secret key is wrong",
    read: "export",
    wrong: ({ s3 }) => ({ backend: s3.block({ secret_key: "another-secret-key" }) }),
    says: /the storage refuses/,
    hint: /check the keys/,
    withinSeconds: 30,
  },
  {
    name: "there is no such bucket",
    read: "export",
    wrong: ({ s3 }) => ({ backend: s3.block({ bucket: "bakcups" }) }),
    says: /there is no such bucket/,
    hint: /the agent makes no buckets/,
    withinSeconds: 30,
  },
  {
    name: "the certificate has expired",
    read: "export",
    before: ({ s3 }) => s3.start({ certificate: "expired" }),
    heal: async ({ s3 }) => {
      await s3.kill();
      await s3.start({ certificate: "valid" });
    },
    says: /the certificate of the storage cannot be verified/,
    hint: /an expired one is to be renewed/,
    withinSeconds: 30,
  },
];

/** Takes every connection and never says a word. */
export const blackHole = { port: 0, close: () => {} };
