import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import type { UnitRecord, Words } from "../model/export.ts";
import { brokenTar } from "../tar/header.ts";

/** Where Incus looks for what a backup file is of. */
export const INDEX_PATH = "backup/index.yaml";
/** Instances have the same once more within their own folder, and are made from that. */
export const INSTANCE_CONFIG_PATH = /^backup\/(container|virtual-machine)\/backup\.yaml$/;

const AnyWords = z.record(z.string(), z.unknown());
const Index = z.object({
  type: z.enum(["container", "virtual-machine", "custom"]),
  config: z.object({
    container: AnyWords.optional(),
    volume: AnyWords,
    pool: z.looseObject({ name: z.string(), driver: z.string() }),
    profiles: z.array(AnyWords).default([]),
  }),
});

const INSTANCE_FIELDS = [
  ...["name", "project", "type", "architecture", "description", "created_at", "ephemeral", "profiles"],
  ...["config", "devices", "expanded_config", "expanded_devices"],
];
const VOLUME_FIELDS = ["name", "project", "type", "content_type", "description", "created_at", "config"];
const PROFILE_FIELDS = ["name", "description", "config", "devices"];

/** Of what a server notes for itself: what belongs to the instance, rather than to its last start. */
const LASTING =
  /^volatile\.(base_image|uuid|apply_nvram|apply_template|cloud-init\.instance-id|last_state\.idmap|.+\.(hwaddr|name))$/;

/** What stays the same as long as nobody changes the workload: the same record makes the same bytes. */
export function lastingRecord(record: UnitRecord): UnitRecord {
  if (record.kind === "volume") return { ...record, volume: picked(record.volume, VOLUME_FIELDS) };
  return {
    ...record,
    instance: withConfigs(picked(record.instance, INSTANCE_FIELDS), isLasting),
    volume: picked(record.volume, VOLUME_FIELDS),
    profiles: record.profiles.map((profile) => picked(profile, PROFILE_FIELDS)),
  };
}

/** The index of a backup file, as Incus reads it: JSON, which is YAML as well. */
export function indexText(record: UnitRecord): string {
  const { pool } = record;
  const words = record.kind === "instance" ? record.instance : record.volume;
  return yamlText({
    name: words["name"],
    backend: pool.driver,
    pool: pool.name,
    optimized: false,
    optimized_header: false,
    type: record.kind === "volume" ? "custom" : words["type"],
    config: configOf(record),
  });
}

/** What Incus makes an instance from, in the file that lies beside its root file system. */
export function instanceConfigText(record: UnitRecord): string {
  return yamlText(configOf(record));
}

/** Reads an index that was written by `indexText()`. */
export function parseIndex(text: string, what: string): UnitRecord {
  const read = Index.safeParse(parsed(text, what));
  if (!read.success) throw brokenTar(what, `its ${INDEX_PATH} is none of ours`);
  const { type, config } = read.data;
  const { volume, pool, profiles } = config;
  const ofPool = { name: pool.name, driver: pool.driver };
  if (type === "custom") return { kind: "volume", volume, pool: ofPool };
  if (config.container === undefined) throw brokenTar(what, `its ${INDEX_PATH} describes no instance`);
  return { kind: "instance", instance: config.container, volume, pool: ofPool, profiles };
}

/** The instance's words with each of its configurations narrowed to the keys that pass. */
function withConfigs(instance: Words, passes: (key: string) => boolean): Words {
  const narrowed = ["config", "expanded_config"].map((field) => {
    const config = AnyWords.safeParse(instance[field] ?? {}).data ?? {};
    return [field, Object.fromEntries(Object.entries(config).filter(([key]) => passes(key)))] as const;
  });
  return { ...instance, ...Object.fromEntries(narrowed) };
}

function configOf(record: UnitRecord) {
  const { volume, pool } = record;
  // An instance is refused without these; of the pool Incus then puts its own words in their place.
  const ofPool = { ...pool, description: "", config: {} };
  if (record.kind === "volume") return { volume, pool: ofPool };
  const container = { ...record.instance, stateful: false };
  return { container, pool: ofPool, profiles: record.profiles, volume };
}

function isLasting(key: string): boolean {
  if (key.startsWith("volatile.")) return LASTING.test(key);
  // What the agent notes on a server is about that server's copy only.
  return !key.startsWith("user.iab.");
}

function picked(words: Words, fields: readonly string[]): Words {
  return Object.fromEntries(fields.filter((field) => words[field] !== undefined).map((field) => [field, words[field]]));
}

/** Some characters may stand in JSON and not in YAML. */
function yamlText(value: unknown): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `${JSON.stringify(value, undefined, 1).replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, escaped)}\n`;
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AgentError("incus.bad-reply", `Cannot read ${what}: its ${INDEX_PATH} is none of ours`, {
      cause,
      hint: "A file that Incus itself has exported is imported with incus import",
    });
  }
}
