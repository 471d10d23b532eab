import type { OffsiteBackend } from "../model/offsite.ts";
import type { Secret, SecretRef } from "../model/secret.ts";

/** Where a repository is, in Kopia's own words. It bears secrets: it goes into private files and Kopia's stdin only. */
export type KopiaStorage = { readonly type: string; readonly config: Readonly<Record<string, unknown>> };

/** How secrets and files are read that the configuration points to. */
export type Readers = {
  readonly reveal: (ref: SecretRef) => Promise<Secret>;
  readonly read: (path: string) => Promise<string>;
};

/** The storage of a backend, with the secrets that open it. */
export async function storageOf(backend: OffsiteBackend, readers: Readers): Promise<KopiaStorage> {
  const shown = async (ref: SecretRef | undefined) => (ref === undefined ? "" : (await readers.reveal(ref)).reveal());
  switch (backend.type) {
    case "filesystem":
      return { type: "filesystem", config: { path: backend.path, dirShards: null } };
    case "s3":
      return { type: "s3", config: await s3Config(backend, readers) };
    case "sftp":
      return { type: "sftp", config: await sftpConfig(backend, readers) };
    case "webdav": {
      const { url, username, password } = backend;
      const login = { username: username ?? "", password: await shown(password) };
      return { type: "webdav", config: { url, ...login, atomicWrites: false, dirShards: null } };
    }
    case "b2": {
      const { bucket, prefix } = backend;
      return {
        type: "b2",
        config: { bucket, prefix, keyID: await shown(backend.keyId), key: await shown(backend.key) },
      };
    }
    case "azure": {
      const { container, storageAccount, storageDomain, prefix, login } = backend;
      const storageKey = login.kind === "key" ? await shown(login.key) : "";
      const sasToken = login.kind === "sas" ? await shown(login.token) : "";
      return { type: "azureBlob", config: { container, storageAccount, storageKey, sasToken, storageDomain, prefix } };
    }
    case "gcs": {
      const { bucket, prefix, credentialsFile } = backend;
      return { type: "gcs", config: { bucket, prefix, credentialsFile } };
    }
    case "rclone": {
      const { remotePath, program } = backend;
      return { type: "rclone", config: { remotePath, rcloneExe: program, atomicWrites: false, dirShards: null } };
    }
  }
}

async function s3Config(
  { endpoint, plain, bucket, accessKey, secretKey, region, prefix, caFile }: OffsiteBackend & { type: "s3" },
  { reveal, read }: Readers,
): Promise<KopiaStorage["config"]> {
  return {
    endpoint,
    bucket,
    prefix,
    region,
    doNotUseTLS: plain,
    accessKeyID: (await reveal(accessKey)).reveal(),
    secretAccessKey: (await reveal(secretKey)).reveal(),
    sessionToken: "",
    // The authority goes along in the configuration: Kopia does not find a file that has moved.
    rootCA: caFile === undefined ? undefined : btoa(await read(caFile)),
  };
}

async function sftpConfig(
  { host, port, username, path, login, hostKeys }: OffsiteBackend & { type: "sftp" },
  { reveal }: Readers,
): Promise<KopiaStorage["config"]> {
  return {
    host,
    port,
    username,
    path,
    password: login.kind === "password" ? (await reveal(login.password)).reveal() : "",
    keyData: login.kind === "key" ? (await reveal(login.key)).reveal() : undefined,
    keyfile: login.kind === "key-file" ? login.path : undefined,
    knownHostsData: hostKeys.kind === "lines" ? hostKeys.lines : undefined,
    knownHostsFile: hostKeys.kind === "file" ? hostKeys.path : undefined,
    externalSSH: false,
    dirShards: null,
  };
}
