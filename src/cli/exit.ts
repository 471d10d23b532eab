import { isOfArchive } from "../execute/execute-offsite.ts";
import { AgentError, type ErrorCode } from "../model/errors.ts";
import type { OffsiteOutcomes, OffsitePlan } from "../model/offsite-plan.ts";
import type { Outcomes } from "../model/outcome.ts";
import type { Plan } from "../model/plan.ts";

/** The exit codes that scripts and timers rely on. */
export const EXIT = {
  ok: 0,
  bug: 1,
  usage: 2,
  someFailed: 3,
  archive: 6,
  warnings: 7,
  tryLater: 75,
  interrupted: 130,
  terminated: 143,
} as const;

/** A new code does not compile until it has its exit code here; its row in the documentation comes with it. */
const EXIT_BY_CODE = {
  usage: 2,
  "config.invalid": 4,
  "credentials.unusable": 4,
  "files.unusable": 4,
  "incus.unreachable": 5,
  "incus.refused": 5,
  "incus.bad-reply": 5,
  "incus.operation-failed": 5,
  "copy.unproven": 3,
  "instance.down": 3,
  "history.refused": 3,
  "trust.mismatch": 5,
  "trust.token": 5,
  "notify.refused": 5,
  "kopia.failed": 6,
  "kopia.password": 6,
  "kopia.unreachable": 6,
  "kopia.certificate": 6,
  "kopia.host-key": 6,
  "kopia.clock": 6,
  "kopia.denied": 6,
  "kopia.empty": 6,
  "kopia.no-bucket": 6,
  "kopia.foreign": 6,
  "kopia.full": 6,
  "kopia.silent": 6,
  "kopia.not-found": 6,
  "kopia.incomplete": 6,
  "kopia.damaged": 6,
  "kopia.policy": 6,
  "storage.unusable": 4,
  "storage.left": 3,
  "storage.full": 5,
  "restore.half": 3,
  "lock.held": 11,
  "window.closed": 75,
  "window.unreadable": 5,
  cancelled: 130,
} as const satisfies Record<ErrorCode, number>;

/** The exit code of a command that threw. A signal that ended it counts for more than what broke because of it. */
export function exitCodeOf(error: unknown, signal: AbortSignal | undefined): number {
  if (signal?.aborted) return exitCodeOfSignal(signal);
  return error instanceof AgentError ? EXIT_BY_CODE[error.code] : EXIT.bug;
}

/** The exit code of a command that a signal ended. */
function exitCodeOfSignal(signal: AbortSignal): number {
  return signal.reason === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
}

type Strictness = { readonly strict: boolean };

/** The exit code of an offsite run that came to its end, or was ended. What failed counts for more than the window. */
export function exitCodeOfOffsiteRun(
  plan: OffsitePlan,
  outcomes: OffsiteOutcomes,
  { windowClosed, ...how }: Strictness & { readonly windowClosed: boolean },
  signal: AbortSignal,
): number {
  if (signal.aborted) return exitCodeOfSignal(signal);
  const became = plan.steps.map(({ id }) => outcomes.get(id) ?? { state: "cancelled" as const });
  if (became.some((outcome) => outcome.state === "failed" && isOfArchive(outcome.error))) return EXIT.archive;
  if (became.some(({ state }) => state === "failed" || state === "skipped")) return EXIT.someFailed;
  const code = exitCodeOfPlan(plan, how);
  if (code === EXIT.someFailed || became.every(({ state }) => state === "done")) return code;
  return windowClosed ? EXIT.tryLater : EXIT.someFailed;
}

type Noticed = { readonly skipped: readonly { readonly failed: boolean }[]; readonly warnings: readonly unknown[] };

/** The exit code of a plan that was only printed. */
export function exitCodeOfPlan({ skipped, warnings }: Noticed, { strict }: Strictness): number {
  if (skipped.some(({ failed }) => failed)) return EXIT.someFailed;
  return strict && warnings.length > 0 ? EXIT.warnings : EXIT.ok;
}

/** The exit code of a run that came to its end, or was ended. */
export function exitCodeOfRun(plan: Plan, outcomes: Outcomes, how: Strictness, signal: AbortSignal): number {
  if (signal.aborted) return exitCodeOfSignal(signal);
  const isWhole = plan.steps.every(({ id }) => outcomes.get(id)?.state === "done");
  return isWhole ? exitCodeOfPlan(plan, how) : EXIT.someFailed;
}
