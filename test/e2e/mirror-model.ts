import type { Listed } from "./ledger.ts";

/** A policy as a test thinks of it: the newest few, or the newest of each bucket within a time, or both. */
export type TestPolicy = {
  readonly text: string;
  readonly newest: number;
  readonly rule?: { readonly periodMs: number; readonly ttlMs: number };
};

export type Policies = { readonly source: TestPolicy; readonly target: TestPolicy };

type Situation = {
  /** Both sides before the run. */
  readonly source: readonly Listed[];
  readonly target: readonly Listed[];
  readonly policies: Policies;
  /** The target may lack what the source has. */
  readonly gapSafe: boolean;
  readonly run: { readonly name: string; readonly at: number };
};

/** What both sides list after a run, by name; a run that must not touch the workload leaves it as it was. */
export type Expected = {
  readonly refused: boolean;
  readonly gaps: readonly string[];
  readonly source: readonly string[];
  readonly target: readonly string[];
};

/** What the documentation promises of a mirror, told a second time and in other words than the agent's. */
export function expectedAfter({ source, target, policies, gapSafe, run }: Situation): Expected {
  const has = (list: readonly Listed[], name: string) => list.some((each) => each.name === name);
  const base = source.findLast(({ name }) => has(target, name));
  const gaps = source.filter(({ name, at }) => base !== undefined && at < base.at && !has(target, name)).map(nameOf);
  const baseless = base === undefined && target.length > 0;
  if (baseless || (gaps.length > 0 && !gapSafe))
    return { refused: true, gaps, source: source.map(nameOf), target: target.map(nameOf) };

  const now = Math.max(run.at, (source.at(-1)?.at ?? 0) + 2000);
  const onSource = [...source, { name: run.name, at: now }];
  const onTarget = onSource.filter(({ name }) => !gaps.includes(name));
  const stays = keptBy(policies.source, onSource, now);
  const wanted = keptBy(policies.target, onTarget, now);
  const follows = policies.source.text === policies.target.text;
  const remains = (name: string) => (follows ? stays.has(name) : wanted.has(name) || (!gapSafe && stays.has(name)));
  return {
    refused: false,
    gaps,
    source: onSource.map(nameOf).filter((name) => stays.has(name)),
    target: onTarget.map(nameOf).filter(remains),
  };
}

/** Foreign ones, the newest few, the newest of each bucket, and in any case the newest of all. */
function keptBy({ newest, rule }: TestPolicy, snapshots: readonly Listed[], now: number): Set<string> {
  const own = snapshots.filter(({ name }) => name.startsWith("IAB_"));
  const foreign = snapshots.filter(({ name }) => !name.startsWith("IAB_"));
  const kept = [...foreign, ...own.slice(-Math.max(newest, 1))];
  if (rule !== undefined) {
    const young = own.filter(({ at }) => now - at <= rule.ttlMs);
    kept.push(...new Map(young.map((each) => [Math.floor(each.at / rule.periodMs), each])).values());
  }
  return new Set(kept.map(nameOf));
}

function nameOf({ name }: Listed): string {
  return name;
}
