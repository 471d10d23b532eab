import type { Backup } from "../model/archive.ts";
import type { BackUpStep, OffsiteOutcomes, OffsitePlan } from "../model/offsite-plan.ts";
import { DAY_MS, type EpochMs } from "../model/time.ts";

/** A run that its window ends is no failure; a workload that no run gets to any more is one. */
const OVERDUE_MS = 7 * DAY_MS;

/** What a run has not got done, and has had no whole backup for a week. */
export function overdueSteps(
  plan: OffsitePlan,
  outcomes: OffsiteOutcomes,
  backups: readonly Backup[],
  now: EpochMs,
): readonly BackUpStep[] {
  return plan.steps
    .filter((step) => step.kind === "back-up")
    .filter(({ id }) => outcomes.get(id)?.state !== "done")
    .filter((step) => now - lastWhole(step, backups, now) > OVERDUE_MS);
}

/** When the newest whole backup was made; where there is none, since when there might have been one. */
function lastWhole({ tags, subject }: BackUpStep, backups: readonly Backup[], now: EpochMs): EpochMs {
  const isOf = (backup: Backup) => backup.tags["workload"] === tags["workload"] && backup.tags["host"] === tags["host"];
  const whole = backups.filter(
    (backup) => backup.state === "complete" && backup.tags["role"] === "config" && isOf(backup),
  );
  if (whole.length > 0) return Math.max(...whole.map(({ at }) => at));
  const begun = Math.min(now, ...backups.map(({ at }) => at));
  return subject.kind === "workload" ? Math.max(begun, subject.workload.createdAt) : begun;
}
