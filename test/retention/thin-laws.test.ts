import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Policy, Rule } from "../../src/model/policy.ts";
import { snapshotName } from "../../src/model/snapshot.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/model/time.ts";
import { type Dated, thin } from "../../src/retention/thin.ts";

const now = Date.UTC(2026, 6, 15, 12, 34, 56);

const rules = fc.uniqueArray(
  fc
    .record({
      periodMs: fc.constantFrom(7 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS),
      times: fc.integer({ min: 1, max: 40 }),
    })
    .map(({ periodMs, times }): Rule => ({ periodMs, ttlMs: periodMs * times, text: `${periodMs}x${times}` })),
  { selector: (rule) => rule.periodMs, maxLength: 4 },
);
const policies = fc.record({ keepNewest: fc.integer({ min: 0, max: 6 }), rules, text: fc.constant("any") });

/** Mostly ours and of the past; some foreign, some of the future, some of the same moment. */
const snapshots: fc.Arbitrary<Dated[]> = fc.array(
  fc
    .record({
      age: fc.oneof(fc.integer({ min: -DAY_MS, max: 90 * DAY_MS }), fc.constantFrom(0, HOUR_MS, DAY_MS)),
      foreign: fc.integer({ min: 0, max: 9 }),
    })
    .map(({ age, foreign }) => ({
      name: foreign === 0 ? `manual-${age}` : snapshotName(now - age),
      createdAt: now - age,
    })),
  { maxLength: 60 },
);

function kept(given: readonly Dated[], policy: Policy, at = now): Set<Dated> {
  const verdicts = thin(given, policy, at);
  return new Set(given.filter((_, index) => verdicts[index]?.verdict !== "remove"));
}

function removed(given: readonly Dated[], policy: Policy, at = now): Set<Dated> {
  return minus(given, kept(given, policy, at));
}

function minus(all: Iterable<Dated>, those: ReadonlySet<Dated>): Set<Dated> {
  return new Set([...all].filter((one) => !those.has(one)));
}

function law(name: string, holds: (given: Dated[], policy: Policy) => void): void {
  test(name, () => fc.assert(fc.property(snapshots, policies, holds), { numRuns: 300 }));
}

describe("thin()", () => {
  law("gives one verdict for each snapshot, in order, each with a reason", (given, policy) => {
    const verdicts = thin(given, policy, now);
    expect(verdicts.map(({ name, at }) => ({ name, createdAt: at }))).toEqual(given);
    expect(verdicts.every(({ reasons }) => reasons.length > 0)).toBe(true);
  });

  law("removes nothing that is not ours and nothing of the future", (given, policy) => {
    for (const { name, createdAt } of removed(given, policy)) {
      expect(name).toMatch(/^IAB_\d{8}-\d{6}$/);
      expect(createdAt).toBeLessThanOrEqual(now);
    }
  });

  law("changes nothing the second time", (given, policy) => {
    expect(removed([...kept(given, policy)], policy)).toEqual(new Set());
  });

  law("never takes back a removal as time goes by", (given, policy) => {
    const later = removed(given, policy, now + 5 * DAY_MS);
    expect(minus(removed(given, policy), later)).toEqual(new Set());
  });

  law("keeps no less where the policy asks for more", (given, policy) => {
    const longer = policy.rules.map((rule) => ({ ...rule, ttlMs: 2 * rule.ttlMs }));
    const more = { ...policy, keepNewest: policy.keepNewest + 1, rules: longer };
    const base = policy.keepNewest === 0 && policy.rules.length === 0 ? new Set<Dated>() : kept(given, policy);
    expect(minus(base, kept(given, more))).toEqual(new Set());
  });

  law("keeps the union of what the count and each rule keep by themselves", (given, policy) => {
    fc.pre(policy.keepNewest > 0 || policy.rules.length > 0);
    const parts = policy.rules.map((rule) => kept(given, { ...policy, keepNewest: 0, rules: [rule] }));
    if (policy.keepNewest > 0) parts.push(kept(given, { ...policy, rules: [] }));
    const union = new Set(parts.flatMap((part) => [...part]));
    expect(kept(given, policy)).toEqual(union);
  });

  law("keeps the newest of ours, whatever the policy", (given, policy) => {
    const own = given.filter(({ name, createdAt }) => name.startsWith("IAB_") && createdAt <= now);
    const newestAt = Math.max(...own.map(({ createdAt }) => createdAt));
    const verdicts = thin(given, policy, now).filter(({ at, name }) => at === newestAt && name.startsWith("IAB_"));
    expect(verdicts.length === 0 || verdicts.some(({ verdict }) => verdict === "keep")).toBe(true);
  });

  law("keeps at most one snapshot of a rule's period, and the newest one", (given, { rules: [rule] }) => {
    fc.pre(rule !== undefined);
    const verdicts = thin(given, { keepNewest: 0, rules: rule ? [rule] : [], text: "any" }, now);
    const bucketOf = (at: number) => Math.floor(at / (rule?.periodMs ?? 1));
    const byRule = verdicts.filter(({ reasons }) => reasons.includes(rule?.text ?? ""));
    expect(new Set(byRule.map(({ at }) => bucketOf(at))).size).toBe(byRule.length);
    for (const { at } of byRule) {
      const newer = verdicts.filter((other) => other.at > at && bucketOf(other.at) === bucketOf(at));
      expect(newer.filter((other) => other.verdict === "remove")).toEqual([]);
    }
  });
});
