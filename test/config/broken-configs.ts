import { configText, PREDECESSORS } from "./sample.ts";

const { hosts } = PREDECESSORS;
const iab = { iabCredDir: "/c" };
const [source, target] = hosts;

function project(more: object): string {
  return configText({ projects: [{ name: "default", ...more }] });
}

function sourcePolicy(policy: unknown): string {
  return configText({ retention: { hosts: { source: { default: policy } } } });
}

function offsite(more: object): string {
  const backend = { type: "filesystem", filesystem: { path: "/repo" } };
  return configText({ offsite: { repository_password: "hunter2", backend, ...more } });
}

function sources(more: object): string {
  return offsite({ sources: [{ read: "export", ...more }] });
}

function backend(type: string, block: object): string {
  return offsite({ backend: { type, [type]: block } });
}

/** Each is refused with all of its problems; none of them shows `hunter2`. */
export const brokenConfigs: Readonly<Record<string, string>> = {
  "an empty file": "",
  "a file that ends too early": '{\n  "iab": {\n    "uuid": "x"',
  "a missing comma": '{\n  "iab": { "gotifyUrl": "hunter2" "uuid": "x" }\n}',
  "a comma too many": '{\n  "hosts": [],\n}',
  "a comment": '{\n  // the hosts\n  "hosts": []\n}',
  "a key without quotes": "{ iab: {} }",
  "a text in single quotes": "{ \"uuid\": 'hunter2' }",
  "a text that does not end": '{ "uuid": "hunter2 }\n}',
  "a path with single backslashes": '{ "uuid": "C:\\hunter2" }',
  "a word that JSON does not have": '{ "iab": True }',
  "a number that JSON does not have": '{ "iab": 07 }',
  "something behind the end": "{}\n}",
  "nesting without end": "[".repeat(5000),
  "keys that stand twice": '{\n  "uuid": 1,\n  "iab": { "uuid": "a",\n "uuid": "b" } }',
  "a list instead of an object": "[]",
  "a text instead of an object": '"hunter2"',
  "nothing in it": "{}",
  "an unknown key": configText({ hostz: [] }),
  "unknown keys on every level": configText({
    iab: { ...iab, stopInstances: true, nonsense: 1 },
    hosts: [{ ...source, adress: "x" }, target],
    projects: [{ name: "default", instance: [], volumes: [{ name: "v", storage: "s", targetStore: "t" }] }],
    retention: { host: {} },
  }),
  "a key in two spellings": configText({ iab: { ...iab, gotifyURL: "", GotifyUrl: "https://hunter2.example" } }),
  "a key of another level": project({ instances: [{ name: "web1", stopInstance: true }] }),
  "no folder for credentials": configText({ iab: { iabCredDir: " " } }),
  "settings of the wrong kind": configText({
    iab: { iabCredDir: 1, uuid: [], stopInstance: "yes", concurrency: "4", operationTimeout: 6, bandwidthLimit: 5 },
  }),
  "settings out of range": configText({ iab: { ...iab, concurrency: 0, operationTimeout: "0s" } }),
  "a fraction of a copy": configText({ iab: { ...iab, concurrency: 1.5 } }),
  "a time in months": configText({ iab: { ...iab, operationTimeout: "30m" } }),
  "a time in an unknown unit": configText({ iab: { ...iab, operationTimeout: "6hours" } }),
  "a time that is too long": configText({ iab: { ...iab, operationTimeout: "365d" } }),
  "a rate without a unit": configText({ iab: { ...iab, bandwidthLimit: "50" } }),
  "a rate of nothing": configText({ iab: { ...iab, bandwidthLimit: "0MiB/s" } }),
  "a rate for no time of day": configText({ iab: { ...iab, bandwidthLimit: { "22-06": "1MiB/s" } } }),
  "a rate of no kind by the hour": configText({ iab: { ...iab, bandwidthLimit: { "22:00-06:00": "fast" } } }),
  "rates for the same hours": configText({
    iab: { ...iab, bandwidthLimit: { "22:00-06:00": "1MiB/s", "05:00-07:00": "2MiB/s" } },
  }),
  "a rate where nothing is relayed": configText({
    iab: { ...iab, bandwidthLimit: "1MiB/s" },
    projects: [{ name: "a", mode: "pull" }, { name: "b", mode: "relay" }, { name: "c" }],
  }),
  "addresses of services that are none": configText({
    iab: { iabCredDir: "/c", gotifyURL: "gotify.example/hunter2", healthchecksUrl: "ftp://hunter2" },
  }),
  "a secret in two places": configText({ iab: { ...iab, gotifyURL: { file: "/a", env: "B" } } }),
  "a secret without a place": configText({ iab: { ...iab, gotifyURL: { file: "" }, healthchecksUrl: 7 } }),
  "no hosts": configText({ hosts: [] }),
  "no list of hosts": configText({ hosts: { source, target } }),
  "no target": configText({ hosts: [source] }),
  "two sources": configText({ hosts: [source, source] }),
  "an unknown role, and a host without an address": configText({
    hosts: [{ ...source, role: "origin" }, { role: "target" }],
  }),
  "a host by http": configText({ hosts: [{ ...source, url: "http://192.0.2.10:8443" }, target] }),
  "a host by name only": configText({
    hosts: [
      { ...source, url: "192.0.2.10:8443" },
      { ...target, url: "vault" },
    ],
  }),
  "a host with a password": configText({ hosts: [{ ...source, url: "https://me:hunter2@192.0.2.10:8443" }, target] }),
  "a host with a path": configText({ hosts: [{ ...source, url: "https://192.0.2.10:8443/1.0" }, target] }),
  "an unknown mode": project({ mode: "copy" }),
  "kept history without relay": project({ mode: "pull", history: "keep" }),
  "kept history of an unknown kind": project({ mode: "relay", history: "forever" }),
  "a project without a name": configText({ projects: [{ instances: [] }] }),
  "an instance without a name": project({ instances: [{ storage: "local" }, { name: "" }] }),
  "an instance with its project": project({ instances: [{ name: "default/web1" }] }),
  "an instance by its name alone": project({ instances: ["web1"] }),
  "a pattern that cannot be read": project({ instances: [{ name: "web[9-1]" }] }),
  "an instance that stands twice": project({ instances: [{ name: "web1" }, { name: "db" }, { name: "web1" }] }),
  "a volume that stands twice in two projects": configText({
    projects: [
      { name: "default", volumes: [{ name: "data", storage: "a" }] },
      {
        name: "default",
        mode: "pull",
        volumes: [
          { name: "data", storage: "b" },
          { name: "data", storage: "a" },
        ],
      },
    ],
  }),
  "two instances that would be one replica": configText({
    projects: [
      { name: "a", instances: [{ name: "web1" }] },
      { name: "b", targetProject: "a", instances: [{ name: "web1" }] },
    ],
  }),
  "two volumes that would be one replica": project({
    volumes: [
      { name: "data", storage: "ssd", targetStorage: "tank" },
      { name: "data", storage: "hdd", targetStorage: "tank" },
    ],
  }),
  "a copy onto itself": configText({
    hosts: [source, { ...target, url: source?.url }],
    projects: [
      { name: "default", instances: [{ name: "web1" }], volumes: [{ name: "v", storage: "a", targetStorage: "b" }] },
    ],
  }),
  "a volume without a pool": project({ volumes: [{ name: "data" }] }),
  "a cluster member that is none": project({ target: "@@storage", instances: [{ name: "a", target: "" }] }),
  "a policy with an unknown unit": sourcePolicy("6,1h2x"),
  "a policy that is no text": sourcePolicy(6),
  "policies that are wrong in many places": configText({
    retention: {
      hosts: {
        source: { default: "1d2w,3", projects: { default: { default: "2d1d" } } },
        target: {
          default: "3,,1d2w",
          projects: {
            default: {
              instances: { default: "0", byName: { web1: "1h" } },
              volumes: { byName: { "a b": "1w2m,7d1y" } },
            },
          },
        },
      },
    },
  }),
  "policies of a role that is none": configText({ retention: { hosts: { sauce: { default: "3" } } } }),
  "a policy for a pattern that no entry has": configText({
    projects: [{ name: "default", instances: [{ name: "web1" }] }],
    retention: { hosts: { target: { projects: { default: { instances: { byName: { "web*": "3" } } } } } } },
  }),
  "an offsite module without a repository": configText({ offsite: { enabled: true } }),
  "an offsite module without a password": configText({ offsite: { backend: { type: "gcs", gcs: { bucket: "b" } } } }),
  "a backend of an unknown type": offsite({ backend: { type: "s4" } }),
  "a backend of another type": offsite({ backend: { type: "s3", filesystem: { path: "/repo" } } }),
  "a bucket without keys": backend("s3", { endpoint: "s3.example", bucket: "b", access_key: "", acess_key: "hunter2" }),
  "a relative repository": backend("filesystem", { path: "repo" }),
  "a login by nothing, and no host key": backend("sftp", { host: "h", username: "u", path: "/p", port: 0 }),
  "a login by two things": backend("azure", { container: "c", storage_account: "a", storage_key: "k", sas_token: "t" }),
  "retention that keeps nothing": offsite({
    retention: { keep_latest: 0, keep_hourly: 0, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, keep_annual: 0 },
  }),
  "retention in IAB's manner": offsite({ retention: { keep_latest: -1, keep_daily: "7", keep_yearly: 3 } }),
  "windows of no day": offsite({
    maintenance_windows: [
      { start_hour: 24, end_hour: 5, end_minute: 60 },
      { start_hour: 1, end_hour: 2, start_day_of_week: "monday" },
      { start_hour: 1, end_hour: 2, start_day_of_week: "Monday" },
      { start_hour: 3, end_hour: 2, start_day_of_week: "Monday", end_day_of_week: "Monday" },
    ],
  }),
  "windows in place of windows that are given": offsite({
    maintenance_windows: [],
    fallback_windows: [{ start_hour: 1, end_hour: 2 }],
  }),
  "windows of another system": offsite({ maintenance_windows: "always", time_zone: "Middle-earth/Shire" }),
  "a source that chooses nothing": sources({}),
  "a source read in an unknown way": sources({ read: "tar", pools: ["local"] }),
  "a source with what another way needs": sources({ datasets: ["tank/x"], root: "/mnt" }),
  "sources spelled wrongly": sources({ instances: ["a/b/c"], volumes: ["data"] }),
  "sizes and rates of the cache": offsite({
    cache: { content_size: "500", metadata_size: "0B" },
    upload_limit: "much",
  }),
};
