import { expect, test } from "vitest";
import { tokenText } from "../../src/kopia/config-file.ts";
import { storageOf } from "../../src/kopia/storage.ts";
import type { OffsiteBackend } from "../../src/model/offsite.ts";
import { Secret, type SecretRef } from "../../src/model/secret.ts";

const secret = (name: string): SecretRef => ({ kind: "env", name });
const readers = {
  reveal: async (ref: SecretRef) => new Secret(ref.kind === "env" ? `the ${ref.name}` : ""),
  read: async (path: string) => `text of ${path}`,
};

const cases: { backend: OffsiteBackend; type: string; config: object }[] = [
  { backend: { type: "filesystem", path: "/r" }, type: "filesystem", config: { path: "/r" } },
  {
    backend: {
      type: "s3",
      endpoint: "s3.example:9000",
      plain: true,
      bucket: "b",
      accessKey: secret("id"),
      secretKey: secret("key"),
      region: undefined,
      prefix: "p/",
      caFile: "/ca.pem",
    },
    type: "s3",
    config: {
      endpoint: "s3.example:9000",
      doNotUseTLS: true,
      accessKeyID: "the id",
      secretAccessKey: "the key",
      prefix: "p/",
      rootCA: btoa("text of /ca.pem"),
    },
  },
  {
    backend: {
      type: "sftp",
      host: "h",
      port: 2222,
      username: "u",
      path: "/p",
      login: { kind: "key", key: secret("key") },
      hostKeys: { kind: "lines", lines: "h ssh-ed25519 A" },
    },
    type: "sftp",
    config: { host: "h", port: 2222, keyData: "the key", knownHostsData: "h ssh-ed25519 A", externalSSH: false },
  },
  {
    backend: {
      type: "sftp",
      host: "h",
      port: 22,
      username: "u",
      path: "/p",
      login: { kind: "password", password: secret("word") },
      hostKeys: { kind: "file", path: "/hosts" },
    },
    type: "sftp",
    config: { password: "the word", knownHostsFile: "/hosts" },
  },
  {
    backend: { type: "webdav", url: "https://d.example", username: "u", password: secret("word") },
    type: "webdav",
    config: { url: "https://d.example", username: "u", password: "the word" },
  },
  {
    backend: { type: "b2", bucket: "b", keyId: secret("id"), key: secret("key"), prefix: "" },
    type: "b2",
    config: { bucket: "b", keyID: "the id", key: "the key" },
  },
  {
    backend: {
      type: "azure",
      container: "c",
      storageAccount: "a",
      login: { kind: "sas", token: secret("token") },
      storageDomain: undefined,
      prefix: "",
    },
    type: "azureBlob",
    config: { container: "c", storageAccount: "a", storageKey: "", sasToken: "the token" },
  },
  {
    backend: { type: "gcs", bucket: "b", credentialsFile: "/c.json", prefix: "p/" },
    type: "gcs",
    config: { bucket: "b", credentialsFile: "/c.json", prefix: "p/" },
  },
  {
    backend: { type: "rclone", remotePath: "drive:iab", program: "/usr/bin/rclone" },
    type: "rclone",
    config: { remotePath: "drive:iab", rcloneExe: "/usr/bin/rclone" },
  },
];
test.each(cases)(
  "storageOf() says in Kopia's words where a repository on $type is",
  async ({ backend, type, config }) => {
    expect(await storageOf(backend, readers)).toMatchObject({ type, config });
  },
);

test("tokenText() is base64url without padding, and keeps what is not ASCII", () => {
  const storage = { type: "filesystem", config: { path: "/r/ä?>~" } };
  const token = tokenText(storage);
  expect(token).toMatch(/^[\w-]+$/);
  expect(JSON.parse(Buffer.from(token, "base64url").toString())).toEqual({ version: "1", storage });
});
