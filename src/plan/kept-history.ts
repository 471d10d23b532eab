import type { KeptSnapshot } from "../model/copy.ts";
import { MARKS } from "../model/marks.ts";
import type { Config, Workload } from "../model/state.ts";
import type { Comparison } from "./compare-snapshots.ts";
import type { Refusal } from "./judge-replica.ts";
import type { StoragePair } from "./storage-pair.ts";

/** What only the target has and a refresh must leave alone, or why that cannot be promised. */
export function keptHistory(
  { targetOnly, sends, gaps }: Comparison,
  config: Config,
  storage: StoragePair,
): { readonly keep: readonly KeptSnapshot[] } | Refusal {
  const again = targetOnly.find(({ name }) => [...sends, ...gaps].some((other) => other.name === name));
  if (again !== undefined)
    return {
      why: `${again.name} was made anew on the source: the target's own of that name would be lost`,
      hint: `Rename ${again.name} on the source`,
    };
  const guids = storage.zfs ? rememberedGuids(config) : undefined;
  // One that is not remembered is asked of the target before anything is sent.
  return {
    keep: targetOnly.map(({ name, createdAtExact }) => ({ name, createdAtExact, guid: guids?.[name] })),
  };
}

/** What should be on a replica by its own account. */
export type Remembered = { readonly names: readonly string[]; readonly lost: readonly string[] };

/** The snapshots that the last run left on the replica, and those of them that are gone; undefined if nothing tells. */
export function rememberedHistory(replica: Workload): Remembered | undefined {
  const onRoot = replica.kind === "instance" ? replica.rootConfig?.[MARKS.kept] : undefined;
  const names = parsed<string[] | undefined>(replica.config[MARKS.kept] ?? onRoot, isNames, undefined);
  if (names === undefined) return undefined;
  const there = new Set(replica.snapshots.map(({ name }) => name));
  return { names, lost: names.filter((name) => !there.has(name)) };
}

/** The mark that remembers what is on the replica. */
export function keptMark(names: readonly string[]): Config {
  return { [MARKS.kept]: JSON.stringify(names) };
}

function rememberedGuids(config: Config): Readonly<Record<string, string>> {
  return parsed(config[MARKS.guids], isGuids, {});
}

/** What a mark holds; a mark that somebody has spoilt holds nothing. */
function parsed<T>(text: string | undefined, is: (value: unknown) => value is NonNullable<T>, none: T): T {
  if (text === undefined) return none;
  try {
    const value: unknown = JSON.parse(text);
    return is(value) ? value : none;
  } catch {
    return none;
  }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}

function isGuids(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && Object.values(value).every((guid) => typeof guid === "string");
}
