import type { Policies, Side } from "../model/job.ts";
import type { PruneStep, StepId, Warning } from "../model/plan.ts";
import type { Policy, Verdict } from "../model/policy.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { EpochMs } from "../model/time.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import { thin } from "../retention/thin.ts";
import { byAge } from "./compare-snapshots.ts";
import type { Pair } from "./pair-up.ts";

export type PruneContext = {
  readonly pair: Pair;
  /** What each side will hold once the copy is proven. */
  readonly after: Readonly<Record<Side, readonly Snapshot[]>>;
  readonly now: EpochMs;
  readonly gapSafe: boolean;
  /** The copy that all pruning waits for. */
  readonly copyId: StepId;
};

export type Pruning = { readonly steps: readonly PruneStep[]; readonly warnings: readonly Warning[] };

/** What is deleted on both sides: the source's first, and on the target only what does no harm there. */
export function pruneSteps(context: PruneContext): Pruning {
  const { pair, after, now, gapSafe } = context;
  const { retention, history } = pair.job;
  const base = newestOnBoth(after);
  const source = judged(after.source, retention.source, now, base);
  const gone = namesOf(source, "remove");
  const held = new Set(after.source.map(({ name }) => name).filter((name) => !gone.has(name)));

  // One policy for both sides is meant as one set of snapshots on both.
  const follows = history === "mirror" && retention.target.text === retention.source.text;
  const onTarget = new Set(after.target.map(({ name }) => name));
  const wanted = follows
    ? source.filter(({ name }) => onTarget.has(name))
    : judged(after.target, retention.target, now, base);
  const mayGap = history === "mirror" && gapSafe && !follows;
  const target = mayGap ? wanted : wanted.map((verdict) => deferred(verdict, held));

  const first = pruneStep("source", source, context, []);
  const needs = first === undefined ? [] : [first.id];
  const second = pruneStep("target", target, context, needs);
  const steps = [first, second].filter((step) => step !== undefined);
  const warnings = history === "mirror" && !follows ? unmet(context, { wanted, target, gone }) : [];
  return { steps: mayGap ? steps.map(unconditional) : steps, warnings };
}

/** What must stay whatever a policy says: without it no later transfer could build on anything. */
function newestOnBoth({ source, target }: PruneContext["after"]): string | undefined {
  const onTarget = new Set(target.map(({ name }) => name));
  return byAge(source).findLast(({ name }) => onTarget.has(name))?.name;
}

function judged(snapshots: readonly Snapshot[], policy: Policy, now: EpochMs, base: string | undefined): Verdict[] {
  return thin(byAge(snapshots), policy, now).map((verdict) =>
    verdict.name === base && verdict.verdict === "remove" ? kept(verdict, "the newest on both sides") : verdict,
  );
}

/** The target keeps what the source still has: a gap would damage it. */
function deferred(verdict: Verdict, held: ReadonlySet<string>): Verdict {
  if (verdict.verdict !== "remove" || !held.has(verdict.name)) return verdict;
  return kept(verdict, "the source still has it");
}

function kept(verdict: Verdict, reason: string): Verdict {
  return { ...verdict, verdict: "keep", reasons: [reason] };
}

function namesOf(verdicts: readonly Verdict[], which: Verdict["verdict"]): Set<string> {
  return new Set(verdicts.filter(({ verdict }) => verdict === which).map(({ name }) => name));
}

function pruneStep(
  side: Side,
  verdicts: readonly Verdict[],
  { pair, copyId }: PruneContext,
  needs: readonly StepId[],
): PruneStep | undefined {
  const removals = verdicts
    .filter(({ verdict }) => verdict === "remove")
    .map(({ name, reasons }) => ({ name, reasons }));
  if (removals.length === 0) return undefined;
  const { source, [side]: unit } = pair.job;
  return {
    kind: "prune",
    id: `prune-${side}:${unitId(source)}`,
    needs: [copyId, ...needs],
    workload: source,
    unit,
    side,
    removals,
    onlyIfGoneFrom: side === "target" ? source : undefined,
    verdicts,
  };
}

function unconditional(step: PruneStep): PruneStep {
  return { ...step, onlyIfGoneFrom: undefined };
}

type Unmet = {
  readonly wanted: readonly Verdict[];
  readonly target: readonly Verdict[];
  readonly gone: ReadonlySet<string>;
};

/** Says where a mirror cannot do what the target's own policy asks for. */
function unmet({ pair }: PruneContext, { wanted, target, gone }: Unmet): Warning[] {
  const label = unitLabel(pair.job.source);
  const { retention }: { retention: Policies } = pair.job;
  const shorter = wanted.filter(({ verdict }, at) => verdict === "remove" && target[at]?.verdict === "keep");
  const longer = target.filter(({ name, verdict }) => verdict === "keep" && gone.has(name));
  const warning = (text: string): Warning => ({ code: "policy.unmet", workload: pair.job.source, text });
  return [
    ...(shorter.length === 0
      ? []
      : [
          warning(
            `The target's policy ${retention.target.text} would drop ${namesText(shorter)} of ${label}, which the source keeps: a gap there could damage the replica, so it stays until the source lets it go`,
          ),
        ]),
    ...(longer.length === 0
      ? []
      : [
          warning(
            `The target's policy ${retention.target.text || "(none)"} would keep ${namesText(longer)} of ${label}, which the source drops: the next refresh deletes it on the target. History that outlives the source needs history: keep`,
          ),
        ]),
  ];
}

const NAMED = 3;

function namesText(verdicts: readonly Verdict[]): string {
  const names = verdicts.slice(0, NAMED).map(({ name }) => name);
  const more = verdicts.length - names.length;
  return more > 0 ? `${names.join(", ")} and ${more} more` : names.join(", ");
}
