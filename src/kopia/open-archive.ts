import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import type { Archive, Clock, Files, Processes } from "../model/ports.ts";
import type { Secret, SecretRef } from "../model/secret.ts";
import { archiveOf } from "./archive.ts";
import type { Owner } from "./arguments.ts";
import { kopiaClient } from "./client.ts";
import { configText } from "./config-file.ts";
import { applyPolicies } from "./policies.ts";
import { openRepository } from "./repository.ts";
import { storageOf } from "./storage.ts";

/** Small on purpose: a cache that is lost, or too small, costs time and nothing else. */
const CACHE_BYTES = { content: 500_000_000, metadata: 1_000_000_000 } as const;

export type ArchiveOptions = {
  readonly config: OffsiteConfig;
  readonly owner: Owner;
  /** Where Kopia's caches and logs are, each repository's in a private folder of its own. */
  readonly folder: string;
  readonly program: string;
  readonly reveal: (ref: SecretRef) => Promise<Secret>;
  readonly processes: Processes;
  readonly files: Files;
  readonly clock: Clock;
};

/** Opens the archive to look and restore: nothing in it is changed. */
export async function openArchive(options: ArchiveOptions, signal: AbortSignal): Promise<Archive> {
  return open(
    options,
    async ({ client, storage }) => {
      await openRepository(client, options.clock, { storage, owner: options.owner, create: false }, signal);
    },
    signal,
  );
}

/** Opens the archive to back up: made where that is allowed and there is none, its policies as they are wanted. */
export async function prepareArchive(options: ArchiveOptions, signal: AbortSignal): Promise<Archive> {
  const { config, owner, files, clock } = options;
  return open(
    options,
    async ({ client, storage }) => {
      await openRepository(client, clock, { storage, owner, create: config.create }, signal);
      const file = config.policiesFile === undefined ? undefined : await files.read(config.policiesFile, signal);
      await applyPolicies(client, { owner, retention: config.retention, file }, signal);
    },
    signal,
  );
}

type Opened = {
  readonly client: ReturnType<typeof kopiaClient>;
  readonly storage: Awaited<ReturnType<typeof storageOf>>;
};

async function open(
  options: ArchiveOptions,
  begin: (opened: Opened) => Promise<void>,
  signal: AbortSignal,
): Promise<Archive> {
  const { config, owner, program, processes, files, reveal } = options;
  const folder = join(options.folder, digestOf(config));
  const password = await reveal(config.repositoryPassword);
  const storage = await storageOf(config.backend, { reveal, read: (path) => files.read(path, signal) });
  await files.privateFolder(folder);
  await sweep(folder, files);
  const configFile = join(folder, `${randomUUID()}${ENDING}`);
  const text = configText({
    storage,
    ...owner,
    cacheFolder: join(folder, "cache"),
    contentBytes: config.cache.contentBytes ?? CACHE_BYTES.content,
    metadataBytes: config.cache.metadataBytes ?? CACHE_BYTES.metadata,
    uploadBytesPerSecond: config.uploadBytesPerSecond,
  });
  const close = await keepWhileOpen(configFile, text, files);
  const { idleMs } = config;
  const client = kopiaClient({ program, processes, configFile, password, logFolder: join(folder, "logs"), idleMs });
  try {
    await begin({ client, storage });
    return archiveOf(client, owner, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** What is cached of one repository is of no use to another. Secrets are not in it: they show as what they are. */
function digestOf({ backend }: OffsiteConfig): string {
  return createHash("sha256").update(JSON.stringify(backend)).digest("hex").slice(0, 16);
}

const ENDING = ".config";

/** The file bears secrets: it is there while the archive is open, and its lock tells the next run whether that is so. */
async function keepWhileOpen(path: string, text: string, files: Files): Promise<() => Promise<void>> {
  // Locked before it is there: another process that sees it without its lock takes it for one that was left.
  const lock = await files.lock(path);
  await files.writePrivate(path, text);
  return async () => {
    await files.remove(path);
    await files.remove(`${path}.mlock`);
    await lock.release();
  };
}

/** Removes what a process that was killed has left. */
async function sweep(folder: string, files: Files): Promise<void> {
  for (const name of (await files.list(folder)).filter((entry) => entry.endsWith(ENDING))) {
    try {
      const lock = await files.lock(join(folder, name));
      await files.remove(join(folder, name));
      await lock.release();
    } catch (error) {
      // Somebody else's who is at work, or who has just removed it himself.
      if (!(error instanceof AgentError)) throw error;
    }
  }
}
