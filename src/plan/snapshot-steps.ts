import { MARKS } from "../model/marks.ts";
import type { RecoverStep, SnapshotStep, Warning } from "../model/plan.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Instance } from "../model/state.ts";
import { type EpochMs, rfc3339, SECOND_MS } from "../model/time.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import { byAge } from "./compare-snapshots.ts";
import type { Orders } from "./orders.ts";
import type { Pair } from "./pair-up.ts";

/** To a refresh two snapshots of one second are the same moment, and the later one is never sent. */
const APART_MS = 2 * SECOND_MS;

export type Snapshotting = {
  readonly steps: readonly (RecoverStep | SnapshotStep)[];
  readonly warnings: readonly Warning[];
  /** The snapshot as it will be. */
  readonly taken: Snapshot;
};

/** This run's snapshot of a workload, and before it the start that an earlier run owes to an instance. */
export function snapshotSteps(pair: Pair, { now, run }: Orders): Snapshotting {
  const { source: unit } = pair.job;
  const recover = pair.kind === "instance" ? recoverStep(pair.source) : undefined;
  const stop = stopping(pair, recover !== undefined);
  const newest = byAge(pair.source.snapshots).at(-1);
  const notBefore = newest === undefined ? undefined : apartFrom(newest, now);
  const step: SnapshotStep = {
    kind: "snapshot",
    id: `snapshot:${unitId(unit)}`,
    needs: recover === undefined ? [] : [recover.id],
    workload: unit,
    unit,
    name: run,
    stop: stop === true,
    notBefore,
  };
  return {
    steps: recover === undefined ? [step] : [recover, step],
    warnings: [
      ...(typeof stop === "string" ? [{ code: "instance.not-stopped", workload: unit, text: stop } as const] : []),
      ...(newest !== undefined && newest.createdAt > now + APART_MS ? [ahead(pair, newest)] : []),
    ],
    taken: snapshotAt(run, notBefore ?? now),
  };
}

/** An instance that an earlier run stopped and did not live to start. */
export function recoverStep({ project, name, config }: Instance): RecoverStep | undefined {
  if (config[MARKS.stopped] === undefined) return undefined;
  const unit = { kind: "instance", project, name } as const;
  return { kind: "recover", id: `recover:${unitId(unit)}`, needs: [], workload: unit, unit };
}

/** Whether the instance is stopped for its snapshot; a text says why it is not although it should be. */
function stopping(pair: Pair, isRecovered: boolean): boolean | string {
  if (pair.kind === "volume" || !pair.job.stop) return false;
  const { status, ephemeral } = pair.source;
  const label = unitLabel(pair.job.source);
  if (ephemeral) return `${label} is ephemeral and would be deleted by a stop; its snapshot is taken as it is`;
  if (status === "Frozen") return `${label} is frozen and cannot be asked to stop; its snapshot is taken as it is`;
  return status === "Running" || isRecovered;
}

function apartFrom({ createdAt }: Snapshot, now: EpochMs): EpochMs | undefined {
  const earliest = createdAt + APART_MS;
  return earliest > now && createdAt <= now + APART_MS ? earliest : undefined;
}

function ahead({ job }: Pair, { name, createdAt }: Snapshot): Warning {
  return {
    code: "snapshot.future",
    workload: job.source,
    text: `${name} is dated ${rfc3339(createdAt)}, which is yet to come: check the clocks. Until then the servers may take nothing for newer`,
  };
}

function snapshotAt(name: string, at: EpochMs): Snapshot {
  return {
    name,
    createdAt: at,
    createdAtExact: new Date(at).toISOString(),
    expiresAt: undefined,
    sizeBytes: undefined,
  };
}
