import type { MaintenanceWindow, OffsiteBackend, OffsiteConfig, OffsiteSource } from "../model/offsite.ts";
import type { BackendFile, OffsiteFile } from "./offsite-schema.ts";

/** What a file says that names nothing to back up: everything, read in the way that works on every host. */
const EVERYTHING: OffsiteSource = {
  read: "export",
  host: "source",
  pools: ["*"],
  instances: [],
  volumes: [],
  datasets: [],
  root: undefined,
};

/** The Kopia module's part of the configuration in our words; undefined where it is not set up at all. */
export function offsiteOf(file: OffsiteFile): OffsiteConfig | undefined {
  const backend = file.backend && backendOf(file.backend);
  const repositoryPassword = file.repository_password;
  if (backend === undefined || repositoryPassword === undefined) return undefined;
  return {
    enabled: file.enabled ?? true,
    repositoryPassword,
    backend,
    create: file.create,
    retention: {
      keepLatest: file.retention?.keep_latest,
      keepHourly: file.retention?.keep_hourly,
      keepDaily: file.retention?.keep_daily,
      keepWeekly: file.retention?.keep_weekly,
      keepMonthly: file.retention?.keep_monthly,
      keepAnnual: file.retention?.keep_annual,
    },
    restoreSnapshotId: file.restore_snapshot_id || undefined,
    hostname: file.hostname,
    username: file.username,
    sources: file.sources?.map(sourceOf) ?? [EVERYTHING],
    maintenanceWindows: file.maintenance_windows === "incusos" ? "incusos" : windowsOf(file.maintenance_windows),
    fallbackWindows: windowsOf(file.fallback_windows),
    timeZone: file.time_zone,
    policiesFile: file.policies,
    cache: {
      folder: file.cache?.directory,
      contentBytes: file.cache?.content_size,
      metadataBytes: file.cache?.metadata_size,
    },
    uploadBytesPerSecond: file.upload_limit,
    idleMs: file.idle_timeout,
    windowEnd: file.window_end,
    healthchecksUrl: file.healthchecks_url,
  };
}

function backendOf(file: BackendFile): OffsiteBackend | undefined {
  switch (file.type) {
    case "s3":
      return file.s3 && s3Of(file.s3);
    case "filesystem":
      return file.filesystem && { type: file.type, path: file.filesystem.path };
    case "sftp":
      return file.sftp && sftpOf(file.sftp);
    case "webdav":
      return file.webdav && webdavOf(file.webdav);
    case "b2":
      return (
        file.b2 && {
          type: file.type,
          bucket: file.b2.bucket,
          keyId: file.b2.key_id,
          key: file.b2.key,
          prefix: folder(file.b2.prefix),
        }
      );
    case "azure":
      return file.azure && azureOf(file.azure);
    case "gcs": {
      const { gcs } = file;
      return (
        gcs && {
          type: file.type,
          bucket: gcs.bucket,
          credentialsFile: gcs.credentials_file,
          prefix: folder(gcs.prefix),
        }
      );
    }
    case "rclone":
      return file.rclone && { type: file.type, remotePath: file.rclone.remote_path, program: file.rclone.program };
  }
}

function webdavOf({ url, username, password }: NonNullable<BackendFile["webdav"]>): OffsiteBackend {
  return { type: "webdav", url, username, password };
}

function s3Of(s3: NonNullable<BackendFile["s3"]>): OffsiteBackend {
  return {
    type: "s3",
    endpoint: s3.endpoint
      .trim()
      .replace(/^https?:\/\//i, "")
      .replace(/\/+$/, ""),
    plain: /^http:/i.test(s3.endpoint.trim()),
    bucket: s3.bucket,
    accessKey: s3.access_key,
    secretKey: s3.secret_key,
    region: s3.region || undefined,
    prefix: folder(s3.prefix),
    caFile: s3.ca_file,
  };
}

function sftpOf(sftp: NonNullable<BackendFile["sftp"]>): OffsiteBackend | undefined {
  const { host, port, username, path, password, key, key_file, known_hosts, known_hosts_file } = sftp;
  const login =
    (password && { kind: "password" as const, password }) ??
    (key && { kind: "key" as const, key }) ??
    (key_file === undefined ? undefined : { kind: "key-file" as const, path: key_file });
  const hostKeys =
    known_hosts === undefined
      ? { kind: "file" as const, path: known_hosts_file ?? "" }
      : { kind: "lines" as const, lines: known_hosts };
  return login && { type: "sftp", host, port, username, path, login, hostKeys };
}

function azureOf(azure: NonNullable<BackendFile["azure"]>): OffsiteBackend | undefined {
  const { container, storage_account, storage_key, sas_token, storage_domain, prefix } = azure;
  const login =
    (storage_key && { kind: "key" as const, key: storage_key }) ??
    (sas_token && { kind: "sas" as const, token: sas_token });
  return (
    login && {
      type: "azure",
      container,
      storageAccount: storage_account,
      login,
      storageDomain: storage_domain,
      prefix: folder(prefix),
    }
  );
}

/** Kopia joins prefix and name without a slash of its own. */
function folder(prefix: string): string {
  return prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
}

function windowsOf(windows: OffsiteFile["fallback_windows"]): readonly MaintenanceWindow[] {
  return windows.map(({ start_day_of_week: start, end_day_of_week: end, ...times }) => ({
    days: start === undefined || end === undefined ? undefined : { start, end },
    startHour: times.start_hour,
    startMinute: times.start_minute,
    endHour: times.end_hour,
    endMinute: times.end_minute,
  }));
}

function sourceOf(source: NonNullable<OffsiteFile["sources"]>[number]): OffsiteSource {
  return {
    read: source.read,
    host: source.host,
    pools: source.pools,
    instances: source.instances.map((spelled) => {
      const [name = "", project = "default"] = spelled.split("/").reverse();
      return { project, name };
    }),
    volumes: source.volumes.map((spelled) => {
      const [name = "", pool = "", project = "default"] = spelled.split("/").reverse();
      return { project, pool, name };
    }),
    datasets: source.datasets,
    root: source.root,
  };
}
