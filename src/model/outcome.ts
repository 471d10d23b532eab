import type { Plan, StepId } from "./plan.ts";
import type { EpochMs } from "./time.ts";

/** What became of a step. */
export type Outcome =
  | { readonly state: "done"; readonly bytes?: number | undefined; readonly removed?: readonly string[] }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "skipped"; readonly because: StepId }
  | { readonly state: "cancelled" };

export type Outcomes = ReadonlyMap<StepId, Outcome>;

/** A run that has ended: what was to be done and what became of it. */
export type Report = {
  readonly plan: Plan;
  readonly outcomes: Outcomes;
  readonly startedAt: EpochMs;
  readonly endedAt: EpochMs;
  readonly exitCode: number;
};
