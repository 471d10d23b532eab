import type { Policy, Rule, Verdict } from "../model/policy.ts";
import { isOwnSnapshotName, type Snapshot } from "../model/snapshot.ts";
import type { EpochMs } from "../model/time.ts";

/** All that a verdict rests on. */
export type Dated = Pick<Snapshot, "name" | "createdAt">;

type Considered = { readonly snapshot: Dated; readonly keeps: string[]; readonly lets: string[] };

/**
 * What a policy says of every snapshot, in the order given. A snapshot is kept if any rule or the count selects it;
 * each selects for itself, so that the whole is the union of its parts. The newest one is always kept.
 */
export function thin(snapshots: readonly Dated[], policy: Policy, now: EpochMs): Verdict[] {
  if (policy.keepNewest === 0 && policy.rules.length === 0) return snapshots.map(keptWithoutPolicy);
  const considered = snapshots.map((snapshot) => (isPast(snapshot, now) ? consider(snapshot) : undefined));
  select(considered.filter(isDefined).sort(newestFirst), policy, now);
  return snapshots.map((snapshot, index) => verdictOf(snapshot, considered[index], now));
}

/** Whether the policy has a say: a foreign snapshot is not ours to judge, one without a believable date is kept. */
function isPast({ name, createdAt }: Dated, now: EpochMs): boolean {
  return createdAt > 0 && createdAt <= now && isOwnSnapshotName(name);
}

function consider(snapshot: Dated): Considered {
  return { snapshot, keeps: [], lets: [] };
}

/** Lets the count and every rule write down what they keep and what they let go, and why. */
function select(byAge: readonly Considered[], policy: Policy, now: EpochMs): void {
  if (policy.keepNewest > 0) applyCount(byAge, policy.keepNewest);
  for (const rule of policy.rules) applyRule(byAge, rule, now);
  // Without it a source that was off for longer than all rules look back would lose its last state.
  const [newest] = byAge;
  if (newest?.keeps.length === 0) newest.keeps.push("newest");
}

function applyCount(byAge: readonly Considered[], keepNewest: number): void {
  for (const { keeps } of byAge.slice(0, keepNewest)) keeps.push("count");
  for (const { lets } of byAge.slice(keepNewest)) lets.push(`count: not among the newest ${keepNewest}`);
}

/** Buckets begin at the Unix epoch, so that they are the same ones in every run. */
function applyRule(byAge: readonly Considered[], { text, periodMs, ttlMs }: Rule, now: EpochMs): void {
  let newest: { readonly bucket: number; readonly name: string } | undefined;
  for (const { snapshot, keeps, lets } of byAge) {
    const bucket = Math.floor(snapshot.createdAt / periodMs);
    if (now - snapshot.createdAt > ttlMs) {
      lets.push(`${text}: too old`);
    } else if (newest?.bucket === bucket) {
      lets.push(`${text}: ${newest.name} is newer`);
    } else {
      newest = { bucket, name: snapshot.name };
      keeps.push(text);
    }
  }
}

function verdictOf(snapshot: Dated, considered: Considered | undefined, now: EpochMs): Verdict {
  const { name, createdAt: at } = snapshot;
  if (considered !== undefined) {
    const { keeps, lets } = considered;
    return keeps.length > 0
      ? { name, at, verdict: "keep", reasons: keeps }
      : { name, at, verdict: "remove", reasons: lets };
  }
  if (!isOwnSnapshotName(name)) return { name, at, verdict: "unmanaged", reasons: ["not a name of ours"] };
  return { name, at, verdict: "keep", reasons: [at > now ? "future" : "no date"] };
}

function keptWithoutPolicy({ name, createdAt: at }: Dated): Verdict {
  if (!isOwnSnapshotName(name)) return { name, at, verdict: "unmanaged", reasons: ["not a name of ours"] };
  return { name, at, verdict: "keep", reasons: ["no policy"] };
}

/** Two of the same moment are told apart by name, so that every run decides alike. */
function newestFirst(a: Considered, b: Considered): number {
  return b.snapshot.createdAt - a.snapshot.createdAt || (b.snapshot.name < a.snapshot.name ? -1 : 1);
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}
