import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import type { ArchiveOptions } from "../../src/kopia/open-archive.ts";
import { AgentError } from "../../src/model/errors.ts";
import type { OffsiteConfig } from "../../src/model/offsite.ts";
import type { SecretRef } from "../../src/model/secret.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemFiles } from "../../src/system/files.ts";
import { systemProcesses } from "../../src/system/processes.ts";
import { configText } from "../config/sample.ts";
import { openLab } from "../lab/lab.ts";

const lab = openLab();

/** A folder that is gone when the test is. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "iab-kopia-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The storages of the lab, each with a place of its own for every test; as they stand in `config.json`. */
export const BACKENDS = {
  filesystem: () => ({ type: "filesystem", filesystem: { path: scratchFolder() } }),
  "S3 with TLS and a private CA": () => {
    const { tls } = lab.s3();
    return s3Block(`https://${tls.endpoint}`, { ca_file: tls.caFile });
  },
  "S3 over plain http": () => s3Block(`http://${lab.s3().plain.endpoint}/`),
  SFTP: () => {
    const { host, port, user, keyFile, knownHostsFile, path } = lab.sftp;
    const folder = join(path, randomUUID());
    mkdirSync(folder);
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const known_hosts = readFileSync(knownHostsFile, "utf8");
    return { type: "sftp", sftp: { host, port, username: user, path: folder, key_file: keyFile, known_hosts } };
  },
} as const;

/** A bucket of its own in the lab's S3 server. */
export function s3Block(endpoint: string, more: object = {}) {
  const { dataDir, plain } = lab.s3();
  const bucket = `b-${randomUUID()}`;
  mkdirSync(join(dataDir, bucket));
  onTestFinished(() => rmSync(join(dataDir, bucket), { recursive: true, force: true }));
  const keys = { access_key: plain.accessKey, secret_key: plain.secretKey };
  return { type: "s3", s3: { endpoint, bucket, prefix: "iab", ...keys, ...more } };
}

export const PASSWORD = "planted-password-9c1f";

/** The configuration that a backend and more of our fields make. */
export function offsiteConfig(backend: object, more: object = {}): OffsiteConfig {
  const { offsite } = parseConfig(configText({ offsite: { repository_password: PASSWORD, backend, ...more } }));
  if (offsite === undefined) throw new Error("The configuration has no offsite part");
  return offsite;
}

/** What it takes to open an archive, with a folder of its own. */
export function archiveOptions(config: OffsiteConfig, more: Partial<ArchiveOptions> = {}): ArchiveOptions {
  return {
    config,
    owner: { hostname: "host1", username: "iab" },
    folder: scratchFolder(),
    program: lab.kopia().path,
    reveal: async (ref: SecretRef) => {
      if (ref.kind === "value") return ref.secret;
      throw new AgentError("config.invalid", "The tests give secrets as they are");
    },
    processes: systemProcesses(),
    files: systemFiles,
    // No test but that of two hosts waits for its turn to make a repository.
    clock: { ...systemClock, sleep: async () => {} },
    ...more,
  };
}
