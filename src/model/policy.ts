import type { EpochMs } from "./time.ts";

/** Looking back `ttlMs` from now, the newest snapshot of each bucket of `periodMs` is kept. */
export type Rule = { readonly periodMs: number; readonly ttlMs: number; readonly text: string };

/** A retention policy: a snapshot is kept if the count or any rule selects it. */
export type Policy = {
  /** The newest so many are kept whatever their age. */
  readonly keepNewest: number;
  readonly rules: readonly Rule[];
  /** The policy as written; empty for "nothing is ever pruned". */
  readonly text: string;
};

/** What a policy says of one snapshot, and why. */
export type Verdict = {
  readonly name: string;
  readonly at: EpochMs;
  readonly verdict: "keep" | "remove" | "unmanaged";
  /** The rules as written that keep it, `count`, `future` or `no policy`; or what it is that no rule keeps. */
  readonly reasons: readonly string[];
};

/** The policy of who never asked for one: nothing is pruned. */
export const KEEP_ALL: Policy = { keepNewest: 0, rules: [], text: "" };

/** A policy walked forward: what it holds at the end, and how it came to that. */
export type Simulation = {
  readonly from: EpochMs;
  /** The moment of the last snapshot. */
  readonly to: EpochMs;
  readonly everyMs: number;
  readonly taken: number;
  /** The most that were held at a time. */
  readonly most: number;
  /** Oldest first. */
  readonly held: readonly Verdict[];
  readonly growth: readonly { readonly at: EpochMs; readonly count: number; readonly oldestAt: EpochMs }[];
};
