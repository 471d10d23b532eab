import type { Policy, Simulation } from "../model/policy.ts";
import { snapshotName } from "../model/snapshot.ts";
import { DAY_MS, type EpochMs, HOUR_MS } from "../model/time.ts";
import { type Dated, thin } from "./thin.ts";

/** One snapshot each so often, and the policy applied after each. */
export type Walk = { readonly from: EpochMs; readonly spanMs: number; readonly everyMs: number };

/** When a walk is looked at on its way. */
const LOOKS_MS = [HOUR_MS, DAY_MS, ...[7, 30, 90, 180, 365, 730, 1825, 3650].map((days) => days * DAY_MS)];

/** Walks a policy forward from a moment at which nothing is held. */
export function simulate(policy: Policy, { from, spanMs, everyMs }: Walk): Simulation {
  const looks = LOOKS_MS.filter((lookMs) => lookMs < spanMs).map((lookMs) => from + lookMs);
  const growth: Simulation["growth"][number][] = [];
  let held: Dated[] = [];
  let [taken, most, at] = [0, 0, from];
  for (; at <= from + spanMs; at += everyMs) {
    while ((looks[0] ?? Number.POSITIVE_INFINITY) < at) growth.push(lookAt(looks.shift() ?? at, held));
    held.push({ name: snapshotName(at), createdAt: at });
    taken++;
    held = keptOf(held, policy, at);
    most = Math.max(most, held.length);
  }
  const to = at - everyMs;
  growth.push(lookAt(to, held));
  return { from, to, everyMs, taken, most, held: thin(held, policy, to), growth };
}

/** How many verdicts a walk asks for at most, by which its length can be judged beforehand. */
export function walkSize(policy: Policy, { spanMs, everyMs }: Walk): number {
  const steps = Math.floor(spanMs / everyMs) + 1;
  if (policy.keepNewest === 0 && policy.rules.length === 0) return steps;
  const perRule = policy.rules.map(({ periodMs, ttlMs }) => Math.ceil(ttlMs / Math.max(periodMs, everyMs)) + 1);
  return (
    steps *
    Math.min(
      steps,
      perRule.reduce((sum, count) => sum + count, policy.keepNewest + 1),
    )
  );
}

function keptOf(held: Dated[], policy: Policy, now: EpochMs): Dated[] {
  if (policy.keepNewest === 0 && policy.rules.length === 0) return held;
  const verdicts = thin(held, policy, now);
  return held.filter((_, index) => verdicts[index]?.verdict !== "remove");
}

function lookAt(at: EpochMs, held: readonly Dated[]): Simulation["growth"][number] {
  return { at, count: held.length, oldestAt: held[0]?.createdAt ?? at };
}
