import { z } from "zod";
import { SIDES } from "../model/job.ts";
import { WEEKDAYS } from "../model/offsite.ts";
import { Duration, Rate, Required, ServiceUrl, Size, Text } from "./fields.ts";
import { keyed } from "./keyed.ts";

const Prefix = z.string().default("").meta({ description: "The repository's folder in the bucket." });

const Port = z
  .int({ error: () => "expected a port number" })
  .min(1, "expected a port number")
  .max(65535, "expected a port number");

/** What each type of backend needs, in the block that bears the type's name. */
const BACKENDS = {
  s3: keyed({
    endpoint: Text.meta({ description: "host, host:port or https://…; http:// asks for an unencrypted connection." }),
    bucket: Text,
    access_key: Required,
    secret_key: Required,
    region: z.string().optional(),
    prefix: Prefix,
    ca_file: Text.optional().meta({ description: "A file with the certificate of a private CA." }),
  }),
  filesystem: keyed({ path: Text.refine((path) => path.startsWith("/"), "expected an absolute path") }),
  sftp: keyed({
    host: Text,
    port: Port.default(22),
    username: Text,
    path: Text,
    password: Required.optional(),
    key_file: Text.optional(),
    key: Required.optional().meta({ description: "The private key itself." }),
    known_hosts_file: Text.optional(),
    known_hosts: Text.optional().meta({ description: "The server's host keys, as lines of known_hosts." }),
  })
    .refine(({ password, key_file, key }) => one(password, key_file, key), "needs one of password, key_file and key")
    .refine(
      ({ known_hosts_file, known_hosts }) => one(known_hosts_file, known_hosts),
      "needs one of known_hosts_file and known_hosts, so that nobody can stand in for the server",
    ),
  webdav: keyed({ url: z.url("expected an address"), username: Text.optional(), password: Required.optional() }),
  b2: keyed({ bucket: Text, key_id: Required, key: Required, prefix: Prefix }),
  azure: keyed({
    container: Text,
    storage_account: Text,
    storage_key: Required.optional(),
    sas_token: Required.optional(),
    storage_domain: Text.optional(),
    prefix: Prefix,
  }).refine(({ storage_key, sas_token }) => one(storage_key, sas_token), "needs one of storage_key and sas_token"),
  gcs: keyed({ bucket: Text, credentials_file: Text.optional(), prefix: Prefix }),
  rclone: keyed({ remote_path: Text, program: Text.optional() }),
};

const BACKEND_TYPES = ["s3", "filesystem", "sftp", "webdav", "b2", "azure", "gcs", "rclone"] as const;

const Backend = keyed({
  type: z.enum(BACKEND_TYPES),
  s3: BACKENDS.s3.optional(),
  filesystem: BACKENDS.filesystem.optional(),
  sftp: BACKENDS.sftp.optional(),
  webdav: BACKENDS.webdav.optional(),
  b2: BACKENDS.b2.optional(),
  azure: BACKENDS.azure.optional(),
  gcs: BACKENDS.gcs.optional(),
  rclone: BACKENDS.rclone.optional(),
}).superRefine((backend, context) => {
  for (const type of BACKEND_TYPES) {
    if (type === backend.type && backend[type] === undefined) {
      context.issues.push({
        code: "custom",
        message: `is missing, while the type is ${type}`,
        path: [type],
        input: "",
      });
    }
    if (type !== backend.type && backend[type] !== undefined) {
      const message = `does not belong here, while the type is ${backend.type}`;
      context.issues.push({ code: "custom", message, path: [type], input: "" });
    }
  }
});

function one(...values: readonly unknown[]): boolean {
  return values.filter((value) => value !== undefined).length === 1;
}

const Count = z.int({ error: () => "expected a whole number" }).min(0, "cannot be less than 0");

const Retention = keyed({
  keep_latest: Count.optional(),
  keep_hourly: Count.optional(),
  keep_daily: Count.optional(),
  keep_weekly: Count.optional(),
  keep_monthly: Count.optional(),
  keep_annual: Count.optional(),
}).refine(
  (counts) => Object.values(counts).length < 6 || Object.values(counts).some((count) => count !== 0),
  "all counts are 0, which Kopia takes for keeping everything: leave retention out for that",
);

const hour = z
  .int({ error: () => "expected an hour" })
  .min(0, "expected an hour from 0")
  .max(23, "expected an hour up to 23");
const minute = z
  .int({ error: () => "expected a minute" })
  .min(0, "expected a minute from 0")
  .max(59, "expected a minute up to 59");

const Window = keyed({
  start_day_of_week: z.enum(WEEKDAYS).optional(),
  start_hour: hour,
  start_minute: minute.default(0),
  end_day_of_week: z.enum(WEEKDAYS).optional(),
  end_hour: hour,
  end_minute: minute.default(0).meta({ description: "This minute is part of the window." }),
})
  .refine(
    (window) => (window.start_day_of_week === undefined) === (window.end_day_of_week === undefined),
    "needs both start_day_of_week and end_day_of_week, or neither for every day",
  )
  .refine(
    (window) =>
      window.start_day_of_week === undefined ||
      window.start_day_of_week !== window.end_day_of_week ||
      window.start_hour * 60 + window.start_minute <= window.end_hour * 60 + window.end_minute,
    "ends before it starts, on the same day",
  );

const Source = keyed({
  read: z.enum(["zfs", "btrfs", "export"]).meta({ description: "From storage snapshots, or as Incus exports it." }),
  host: z.enum(SIDES).default("source").meta({ description: "The server whose workloads these are." }),
  pools: z.array(Text).default([]).meta({ description: "Everything in these pools." }),
  instances: z.array(Text).default([]).meta({ description: "web1, project/web1; patterns too." }),
  volumes: z.array(Text).default([]).meta({ description: "pool/volume, project/pool/volume; patterns too." }),
  datasets: z.array(Text).default([]).meta({ description: "Datasets, with zfs only." }),
  root: Text.optional().meta({ description: "Where the pool is on this machine: a dataset, or a folder of btrfs." }),
})
  .refine(
    ({ pools, instances, volumes, datasets }) => pools.length + instances.length + volumes.length + datasets.length > 0,
    "chooses nothing: name pools, instances, volumes or datasets",
  )
  .refine(({ read, datasets }) => read === "zfs" || datasets.length === 0, {
    message: 'needs "read": "zfs"',
    path: ["datasets"],
  })
  .refine(({ read, root }) => read !== "export" || root === undefined, {
    message: 'has no meaning with "read": "export"',
    path: ["root"],
  })
  .refine(({ instances }) => instances.every((spelled) => /^[^/]+(\/[^/]+)?$/.test(spelled)), {
    message: "expected instances as web1 or project/web1",
    path: ["instances"],
  })
  .refine(({ volumes }) => volumes.every((spelled) => /^[^/]+(\/[^/]+){1,2}$/.test(spelled)), {
    message: "expected volumes as pool/volume or project/pool/volume",
    path: ["volumes"],
  });

/** The Kopia module: the fields of IncusOS's service, and what we add to them. */
export const Offsite = keyed({
  enabled: z.boolean().optional().meta({ description: "Whether iab offsite run does anything." }),
  repository_password: Required.optional(),
  backend: Backend.optional(),
  create: z.boolean().default(false).meta({ description: "Make a repository where the storage holds none." }),
  retention: Retention.optional(),
  restore_snapshot_id: z.string().optional().meta({ description: "Restored once at the next run, then cleared." }),
  hostname: Text.optional().meta({ description: "Whose snapshots these are; several hosts may share a repository." }),
  username: Text.optional(),
  sources: z.array(Source).optional().meta({ description: "What is backed up. Left out: all of the source's pools." }),
  maintenance_windows: z
    .union([z.literal("incusos"), z.array(Window)], { error: () => 'expected a list of windows, or "incusos"' })
    .default([])
    .meta({ description: 'When to run; "incusos" asks the host. None: any time.' }),
  fallback_windows: z
    .array(Window)
    .default([])
    .meta({ description: 'With "incusos": those that count where the host\'s own cannot be read.' }),
  time_zone: z.string().refine(isTimeZone, "expected a time zone such as Europe/Berlin").optional(),
  policies: Text.optional().meta({ description: "A file of Kopia policies to import." }),
  cache: keyed({
    directory: Text.optional(),
    content_size: Size.optional(),
    metadata_size: Size.optional(),
  }).optional(),
  upload_limit: Rate.optional(),
  idle_timeout: Duration.prefault("15min").meta({ description: "Without any progress for so long, Kopia is ended." }),
  window_end: z.enum(["stop", "finish"]).default("stop").meta({ description: "What happens when the window closes." }),
  healthchecks_url: ServiceUrl.optional(),
}).superRefine(({ enabled, backend, repository_password, maintenance_windows, fallback_windows }, context) => {
  if (fallback_windows.length > 0 && maintenance_windows !== "incusos") {
    const message = 'has a meaning only with "maintenance_windows": "incusos"';
    context.issues.push({ code: "custom", message, path: ["fallback_windows"], input: "" });
  }
  const wanted = enabled ?? (backend !== undefined || repository_password !== undefined);
  for (const [key, value] of Object.entries({ backend, repository_password })) {
    if (!wanted || value !== undefined) continue;
    context.issues.push({ code: "custom", message: "is missing", path: [key], input: "" });
  }
});

export type OffsiteFile = z.output<typeof Offsite>;
export type BackendFile = z.output<typeof Backend>;

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}
