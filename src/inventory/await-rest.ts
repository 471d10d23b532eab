import { globPattern, isGlob } from "../model/glob.ts";
import type { Job } from "../model/job.ts";
import type { Clock, ServerReader } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";

/** A target that nobody connects to, as after a run that was killed, gives up after half a minute. */
export const REST_MS = 40 * SECOND_MS;
const LOOK_EVERY_MS = SECOND_MS;

export type Patience = {
  readonly clock: Clock;
  readonly patienceMs: number;
  /** Told once, where there is something to wait for. */
  readonly onWait?: (busy: readonly Unit[]) => void;
};

/**
 * Waits while the target is at work on replicas of these jobs that are instances: what an ended run has begun there may have to be taken back,
 * and what is listed meanwhile does not last. Gives those that it is still at work on when the time is over.
 */
export async function awaitRest(
  jobs: readonly Job[],
  target: Pick<ServerReader, "busy">,
  { clock, patienceMs, onWait = () => {} }: Patience,
  signal: AbortSignal,
): Promise<readonly Unit[]> {
  const until = clock.now() + patienceMs;
  for (let isFirst = true; ; isFirst = false) {
    const busy = (await target.busy(signal)).filter((unit) => jobs.some((job) => isMeant(unit, job)));
    if (busy.length === 0 && isFirst) return busy;
    if (isFirst && patienceMs > 0) onWait(busy);
    const isOver = busy.length === 0 || clock.now() >= until;
    // Incus 7.0 takes back what has failed when its operation is over already.
    if (patienceMs > 0) await clock.sleep(LOOK_EVERY_MS, signal);
    if (isOver) return busy;
  }
}

/**
 * By its name alone where the job is a glob: which of them there are is not known yet. A volume's server writes nothing down
 * before somebody has connected to it, and can be asked to begin again meanwhile.
 */
function isMeant(unit: Unit, { kind, target }: Job): boolean {
  if (kind === "volume") return false;
  const pattern = isGlob(target.name) ? globPattern(target.name) : undefined;
  const name = pattern?.test(unit.name) ? unit.name : target.name;
  return unitId(unit) === unitId({ ...target, name });
}
