import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import type { OffsiteBackend, OffsiteConfig } from "../../src/model/offsite.ts";
import { Secret } from "../../src/model/secret.ts";
import { configText } from "./sample.ts";

const password = { kind: "value", secret: expect.any(Secret) };
const filesystem = { type: "filesystem", filesystem: { path: "/repo" } };

function offsite(file: object): OffsiteConfig | undefined {
  return parseConfig(configText({ offsite: file })).offsite;
}

test("parseConfig() takes IncusOS's own fields for a whole offsite module, and fills in the rest", () => {
  const s3 = { endpoint: "https://s3.example", bucket: "b", access_key: "a", secret_key: "s" };
  expect(
    offsite({
      enabled: true,
      repository_password: "p",
      backend: { type: "s3", s3 },
      retention: { keep_latest: 3 },
      restore_snapshot_id: "",
    }),
  ).toEqual({
    enabled: true,
    repositoryPassword: password,
    backend: {
      type: "s3",
      endpoint: "s3.example",
      plain: false,
      bucket: "b",
      accessKey: password,
      secretKey: password,
      region: undefined,
      prefix: "",
      caFile: undefined,
    },
    create: false,
    retention: { keepLatest: 3 },
    restoreSnapshotId: undefined,
    hostname: undefined,
    username: undefined,
    sources: [
      { read: "export", host: "source", pools: ["*"], instances: [], volumes: [], datasets: [], root: undefined },
    ],
    maintenanceWindows: [],
    fallbackWindows: [],
    timeZone: undefined,
    policiesFile: undefined,
    cache: { folder: undefined, contentBytes: undefined, metadataBytes: undefined },
    uploadBytesPerSecond: undefined,
    idleMs: 900_000,
    windowEnd: "stop",
    healthchecksUrl: undefined,
  });
});

test("parseConfig() reads what is ours of the offsite module", () => {
  expect(
    offsite({
      repository_password: { credential: "kopia" },
      backend: filesystem,
      create: true,
      restore_snapshot_id: "k123",
      hostname: "h",
      username: "u",
      sources: [
        { read: "zfs", host: "target", instances: ["web*", "shop/db"], volumes: ["p/v", "shop/p/*"], root: "t/i" },
      ],
      maintenance_windows: [
        { start_hour: 22, end_hour: 5, end_minute: 59 },
        { start_day_of_week: "Friday", start_hour: 22, end_day_of_week: "Monday", end_hour: 6 },
      ],
      time_zone: "Europe/Berlin",
      policies: "/etc/policies.json",
      cache: { directory: "/cache", content_size: "1MB", metadata_size: "2MB" },
      upload_limit: "1MB/s",
      idle_timeout: "90s",
      window_end: "finish",
      healthchecks_url: "https://hc.example/ping/2",
    }),
  ).toMatchObject({
    enabled: true,
    repositoryPassword: { kind: "credential", name: "kopia" },
    backend: { type: "filesystem", path: "/repo" },
    create: true,
    restoreSnapshotId: "k123",
    hostname: "h",
    username: "u",
    sources: [
      {
        read: "zfs",
        host: "target",
        instances: [
          { project: "default", name: "web*" },
          { project: "shop", name: "db" },
        ],
        volumes: [
          { project: "default", pool: "p", name: "v" },
          { project: "shop", pool: "p", name: "*" },
        ],
        root: "t/i",
      },
    ],
    maintenanceWindows: [
      { days: undefined, startHour: 22, startMinute: 0, endHour: 5, endMinute: 59 },
      { days: { start: "Friday", end: "Monday" }, startHour: 22, startMinute: 0, endHour: 6, endMinute: 0 },
    ],
    timeZone: "Europe/Berlin",
    policiesFile: "/etc/policies.json",
    cache: { folder: "/cache", contentBytes: 1_000_000, metadataBytes: 2_000_000 },
    uploadBytesPerSecond: 1_000_000,
    idleMs: 90_000,
    windowEnd: "finish",
    healthchecksUrl: password,
  });
});

const backends: { name: string; block: object; becomes: Partial<OffsiteBackend> }[] = [
  {
    name: "s3",
    block: {
      endpoint: "http://127.0.0.1:9000/",
      bucket: "b",
      access_key: "a",
      secret_key: "s",
      prefix: "iab",
      region: "",
    },
    becomes: { endpoint: "127.0.0.1:9000", plain: true, prefix: "iab/", region: undefined },
  },
  {
    name: "sftp",
    block: { host: "h", username: "u", path: "/p", key_file: "/k", known_hosts_file: "/hosts" },
    becomes: { port: 22, login: { kind: "key-file", path: "/k" }, hostKeys: { kind: "file", path: "/hosts" } },
  },
  {
    name: "sftp",
    block: { host: "h", port: 2222, username: "u", path: "/p", password: { env: "P" }, known_hosts: "h ssh-ed25519 A" },
    becomes: {
      port: 2222,
      login: { kind: "password", password: { kind: "env", name: "P" } },
      hostKeys: { kind: "lines", lines: "h ssh-ed25519 A" },
    },
  },
  {
    name: "sftp",
    block: { host: "h", username: "u", path: "/p", key: { file: "/k" }, known_hosts: "x" },
    becomes: { login: { kind: "key", key: { kind: "file", path: "/k" } } },
  },
  {
    name: "webdav",
    block: { url: "https://dav.example/x" },
    becomes: { url: "https://dav.example/x", username: undefined },
  },
  {
    name: "b2",
    block: { bucket: "b", key_id: { env: "I" }, key: { env: "K" } },
    becomes: { keyId: { kind: "env", name: "I" } },
  },
  {
    name: "azure",
    block: { container: "c", storage_account: "a", sas_token: { env: "S" }, prefix: "x/" },
    becomes: { login: { kind: "sas", token: { kind: "env", name: "S" } }, prefix: "x/" },
  },
  {
    name: "azure",
    block: { container: "c", storage_account: "a", storage_key: { env: "S" } },
    becomes: { login: { kind: "key", key: { kind: "env", name: "S" } } },
  },
  { name: "gcs", block: { bucket: "b", credentials_file: "/c" }, becomes: { credentialsFile: "/c", prefix: "" } },
  { name: "rclone", block: { remote_path: "drive:iab" }, becomes: { remotePath: "drive:iab", program: undefined } },
];
test.each(backends)("parseConfig() reads a backend of $name: $becomes", ({ name, block, becomes }) => {
  const backend = { type: name, [name]: block };
  expect(offsite({ repository_password: "p", backend })?.backend).toMatchObject({ type: name, ...becomes });
});

test("parseConfig() takes the windows of the host where the file says so", () => {
  expect(offsite({ repository_password: "p", backend: filesystem, maintenance_windows: "incusos" })).toMatchObject({
    maintenanceWindows: "incusos",
  });
});

test("parseConfig() leaves the offsite module out where nothing is set up, and off where it is switched off", () => {
  expect(offsite({})).toBeUndefined();
  expect(offsite({ enabled: false })).toBeUndefined();
  expect(offsite({ enabled: false, repository_password: "p", backend: filesystem })?.enabled).toBe(false);
});
