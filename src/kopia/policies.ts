import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import type { OffsiteRetention } from "../model/offsite.ts";
import { type Owner, ownerText } from "./arguments.ts";
import type { Client } from "./client.ts";
import { parseOutput } from "./output.ts";

type Policy = Readonly<Record<string, unknown>>;
type Policies = Readonly<Record<string, Policy>>;

const Policies = z.record(z.string(), z.record(z.string(), z.unknown()));

/**
 * What a backup for the worst case must not leave to Kopia's defaults: it would leave out what is in folders that call
 * themselves caches, and obey ignore files in the data. An empty list of ignore files means the default: so one is
 * named that no one has. And of what changes in a stream or a large file, Kopia's usual pieces of about 4 MiB carry much
 * along that has not changed (docs/measurements.md).
 */
const BASELINE: Policy = {
  files: { ignoreCacheDirs: false, ignoreDotFiles: [".iab-ignores-nothing"] },
  compression: { compressorName: "zstd-fastest" },
  splitter: { algorithm: "DYNAMIC-256K-BUZHASH" },
};

/** Sees to it that the repository has the policies that are wanted of this host; asks first, and writes what differs. */
export async function applyPolicies(
  client: Client,
  wanted: { readonly owner: Owner; readonly retention: OffsiteRetention; readonly file: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const policies = wantedPolicies(wanted);
  await checkNames(client, policies, signal);
  const differing = await differences(client, policies, signal);
  if (Object.keys(differing).length === 0) return;
  const args = ["policy", "import", ...Object.keys(differing)];
  await client.run({ args, input: JSON.stringify(differing), doing: "import the policies" }, signal);
  const left = Object.keys(await differences(client, differing, signal));
  if (left.length === 0) return;
  throw new AgentError("kopia.policy", `Cannot import the policies: Kopia holds others for ${left.join(", ")}`, {
    hint: "compare the file with what kopia policy export prints",
  });
}

/** Those of the file that concern this host, and our own for the owner below what the file says. */
export function wantedPolicies(wanted: {
  readonly owner: Owner;
  readonly retention: OffsiteRetention;
  readonly file: string | undefined;
}): Policies {
  const { owner, retention } = wanted;
  const given = wanted.file === undefined ? {} : parseOutput(Policies, wanted.file, "read the policies file");
  const self = ownerText(owner);
  // Two hosts with one file: each sees to its own part, else they would overwrite each other for ever.
  const ours = Object.entries(given).filter(
    ([target]) => ["(global)", self, `@${owner.hostname}`].includes(target) || target.startsWith(`${self}:`),
  );
  const counts = Object.entries(retention).filter(([, count]) => count !== undefined);
  const wider = ["(global)", `@${owner.hostname}`].map((target): Policy => given[target] ?? {});
  const baseline = Object.fromEntries(Object.entries(BASELINE).filter(([key]) => !wider.some(decides(key))));
  const base = counts.length === 0 ? baseline : { ...baseline, retention: Object.fromEntries(counts) };
  return { ...Object.fromEntries(ours), [self]: merged(base, given[self] ?? {}) };
}

/**
 * Whether a policy of all hosts says how data is compressed or cut: then ours would stand in its way. `none` is what Kopia
 * itself writes where nobody has said a word.
 */
function decides(key: string): (policy: Policy) => boolean {
  return (policy) => NAMES.some((name) => name.part === key && ![undefined, "none"].includes(nameIn(policy, name)));
}

async function differences(client: Client, wanted: Policies, signal: AbortSignal): Promise<Policies> {
  const doing = "read the policies";
  const held = parseOutput(Policies, await client.run({ args: ["policy", "export"], doing }, signal), doing);
  return Object.fromEntries(
    Object.entries(wanted).filter(([target, policy]) => !isDeepStrictEqual(bare(policy), bare(held[target] ?? {}))),
  );
}

type Name = { readonly part: string; readonly field: string; readonly flag: string; readonly what: string };

/** What a policy calls by a name that Kopia has to know. */
const NAMES: readonly Name[] = [
  { part: "compression", field: "compressorName", flag: "--compression", what: "compressor" },
  { part: "metadataCompression", field: "compressorName", flag: "--compression", what: "compressor" },
  { part: "splitter", field: "algorithm", flag: "--splitter", what: "splitter" },
];

function nameIn(policy: Policy, { part, field }: Name): string | undefined {
  return z.object({ [field]: z.string().min(1) }).safeParse(policy[part]).data?.[field];
}

/**
 * Import takes any name; an unknown compressor means no compression, and an unknown splitter Kopia's own. Kopia names those
 * that it has when it refuses one.
 */
async function checkNames(client: Client, policies: Policies, signal: AbortSignal): Promise<void> {
  for (const flag of new Set(NAMES.map((name) => name.flag))) {
    const named = Object.entries(policies).flatMap(([target, policy]) =>
      NAMES.filter((name) => name.flag === flag).flatMap((name) => {
        const given = nameIn(policy, name);
        return given === undefined ? [] : [{ target, given, what: name.what }];
      }),
    );
    if (named.length === 0) continue;
    const args = ["policy", "set", "--global", `${flag}=?`];
    const { stderr } = await client.attempt({ args, doing: "ask Kopia for the names it knows" }, signal);
    const known = /must be one of ([\w,-]+),/.exec(stderr)?.[1]?.split(",");
    const wrong = known && named.find(({ given }) => !known.includes(given));
    if (known === undefined || wrong === undefined) continue;
    const { target, given, what } = wrong;
    throw new AgentError("kopia.policy", `Cannot use the policy of ${target}: no ${what} ${given} is known`, {
      hint: `Kopia knows ${known.filter((name) => name !== "inherit").join(", ")}`,
    });
  }
}

function merged(base: Policy, over: Policy): Policy {
  const parts = Object.entries(base).map(([key, part]) => [
    key,
    isPart(part) && isPart(over[key]) ? { ...part, ...over[key] } : (over[key] ?? part),
  ]);
  return { ...over, ...Object.fromEntries(parts) };
}

/** Without what is empty, which Kopia prints and nobody writes. */
function bare(value: unknown): unknown {
  if (!isPart(value)) return value;
  const kept = Object.entries(value)
    .map(([key, part]) => [key, bare(part)] as const)
    .filter(([, part]) => part !== undefined && part !== null && !(isPart(part) && Object.keys(part).length === 0));
  return Object.fromEntries(kept);
}

function isPart(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
