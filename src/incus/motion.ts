import type { Progress } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import type { EpochMs } from "../model/time.ts";
import type { Operation } from "./answer.ts";
import { progressOf } from "./progress.ts";

/** Whether an operation moves: as long as it does, it may take whatever time it needs. */
export type Motion = {
  /** Takes note of what was seen or heard of it, and tells its progress. */
  note(operation: Operation | undefined): void;
  /** Gives it up once nothing has moved for too long. */
  check(): void;
};

export type MotionOptions = {
  readonly host: string;
  readonly clock: Clock;
  readonly silentMs: number;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  /** When something was last seen to move that the operation itself does not show, as a relay's bytes. */
  readonly movedAt: (() => EpochMs) | undefined;
};

export function watchMotion(operation: Operation, options: MotionOptions): Motion {
  const { clock, silentMs } = options;
  let seenAt = clock.now();
  let seen = fingerprint(operation);
  return {
    note(next) {
      if (next === undefined) return;
      const now = fingerprint(next);
      if (now === seen) return;
      seen = now;
      seenAt = clock.now();
      const progress = progressOf(next);
      if (progress !== undefined) options.onProgress?.(progress);
    },
    check() {
      const movedAt = Math.max(seenAt, options.movedAt?.() ?? 0);
      if (clock.now() - movedAt <= silentMs) return;
      const what = operation.description || "An operation";
      throw new AgentError(
        "incus.operation-failed",
        `${what} on ${options.host} has not moved for ${Math.round(silentMs / 1000)} s and is given up (operation ${operation.id})`,
        { hint: "See `incus operation list` on the server; `iab.operationTimeout` sets how long is too long" },
      );
    },
  };
}

function fingerprint(operation: Operation): string {
  return JSON.stringify([operation.status_code, operation.updated_at, operation.metadata]);
}
