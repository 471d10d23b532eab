import { MARKS } from "../model/marks.ts";
import { isOwnSnapshotName } from "../model/snapshot.ts";
import type { Config, Instance, Volume, Workload } from "../model/state.ts";
import { unitId, unitLabel } from "../model/unit.ts";
import type { Comparison } from "./compare-snapshots.ts";
import type { ServerIndex, StateIndex } from "./index-state.ts";
import { NO_SCHEDULE, SCHEDULE } from "./new-replica.ts";
import type { Pair } from "./pair-up.ts";

/** Why a workload is left out, and what a person can do about it. */
export type Refusal = {
  readonly why: string;
  readonly hint?: string;
  /** Where nothing is amiss: there is nothing to do. */
  readonly failed?: false;
};

/** Whether what stands in the replica's place is ours: it is, it may be taken over, or it must not be touched. */
export type Ownership = { readonly state: "ours" } | { readonly state: "adoptable" } | Foreign;
type Foreign = { readonly state: "foreign" } & Refusal;

/** How a replica names its source. */
export function sourceMark(pair: Pair, { source }: StateIndex): string {
  return `${source.facts.host}:${unitId(pair.job.source)}`;
}

/** Whose the replica is. `asked` means that a person has named it with `--adopt`. */
export function ownershipOf(
  pair: Pair,
  replica: Workload,
  { common }: Comparison,
  options: { readonly index: StateIndex; readonly asked: boolean },
): Ownership {
  const mark = replica.config[MARKS.source];
  const expected = sourceMark(pair, options.index);
  const adoptable = options.asked && common.length > 0;
  const place = unitLabel(pair.job.target);
  if (mark === undefined) {
    if (adoptable || common.some(({ name }) => isOwnSnapshotName(name))) return { state: "adoptable" };
    return foreign(`${place} on the target is not a replica of it: no mark of ours, no snapshot in common`);
  }
  if (mark !== expected) {
    if (adoptable) return { state: "adoptable" };
    return foreign(`${place} on the target is the replica of ${mark}, not of ${expected}`, adoptHint(pair));
  }
  if (isRecreated(pair, replica) && !options.asked)
    return foreign(recreated(pair), `${adoptHint(pair)}; ${freshHint(pair)}`);
  return isRecreated(pair, replica) && common.length > 0 ? { state: "adoptable" } : { state: "ours" };
}

function foreign(why: string, hint = "Rename or delete it, or give this workload another target"): Foreign {
  return { state: "foreign", why, hint };
}

/** Whether the source instance is another one than the replica was made from: only the name is the same. */
export function isRecreated(pair: Pair, replica: Workload): boolean {
  const [then, now] = [replica.config[MARKS.sourceUuid], pair.source.config["volatile.uuid"]];
  return then !== undefined && now !== undefined && then !== now;
}

function recreated({ job }: Pair): string {
  return `${unitLabel(job.source)} was made anew on the source since its replica was made`;
}

function adoptHint({ job }: Pair): string {
  return `If it holds the same data: iab run --adopt ${unitLabel(job.source)}`;
}

/** What a person can do where only a fresh copy helps. */
export function freshHint({ job }: Pair): string {
  return `For a fresh copy that replaces it once it is complete: iab run --reseed ${unitLabel(job.source)}`;
}

/** Why nothing can be told of a replica: what its server has not ended yet may still change all of it. */
export function beingWorkedOn({ job }: Pair): Refusal {
  const why = `the target is at work on its replica ${unitLabel(job.target)}`;
  return { why, hint: "The next run takes it. `incus operation list` on the target shows what it is" };
}

/** Why a replica cannot be written to as it is now, whosever it is. */
export function unusable(pair: Pair, replica: Workload, { target }: StateIndex): Refusal | undefined {
  if (replica.kind === "instance") return instanceUnusable(pair, replica);
  return volumeUnusable(pair, replica, target);
}

function instanceUnusable({ job, source }: Pair, replica: Instance): Refusal | undefined {
  const place = unitLabel(job.target);
  if (source.kind === "instance" && replica.type !== source.type)
    return { why: `${place} on the target is a ${replica.type}, the source a ${source.type}` };
  if (replica.status !== "Stopped")
    return { why: `its replica ${place} is not stopped (${replica.status})`, hint: "Stop it on the target" };
  return undefined;
}

function volumeUnusable({ job, source }: Pair, replica: Volume, target: ServerIndex): Refusal | undefined {
  const place = unitLabel(job.target);
  if (source.kind === "volume" && replica.contentType !== source.contentType)
    return { why: `${place} on the target holds ${replica.contentType}, the source ${source.contentType}` };
  const user = replica.usedBy.find((unit) => target.instances.get(unitId(unit))?.status !== "Stopped");
  if (user === undefined) return undefined;
  return {
    why: `its replica ${place} is in use by ${unitLabel(user)}, which is not stopped`,
    hint: `Stop ${unitLabel(user)} on the target`,
  };
}

/** Where Incus notes that an instance has run: a replica that was never started has none. */
const LAST_POWER = "volatile.last_state.power";

/** Why a refresh would throw away what was written on the target itself. */
export function ownChanges(pair: Pair, replica: Workload): Refusal | undefined {
  if (replica.kind !== "instance" || replica.config[LAST_POWER] === undefined) return undefined;
  return {
    why: `its replica ${unitLabel(pair.job.target)} has been started: a refresh would discard what it has written since`,
    hint: `To give that up: iab run --adopt ${unitLabel(pair.job.source)}`,
  };
}

/** What makes an object ours and safe: marks, no start with the server, no snapshots of its own. */
export function adoptionConfig(pair: Pair, { newestCommon }: Comparison, index: StateIndex): Config {
  const marks = { ...replicaMarks(pair, index), [MARKS.last]: newestCommon?.name ?? "" };
  const { replica } = pair;
  const schedule = replica?.config[SCHEDULE] === undefined ? {} : { [SCHEDULE]: "" };
  if (replica?.kind !== "instance") return { ...marks, ...schedule };
  const inherited = replica.config[SCHEDULE] === undefined && replica.expandedConfig[SCHEDULE] !== undefined;
  const started = replica.config[LAST_POWER] === undefined ? {} : { [LAST_POWER]: "" };
  const asleep = inherited ? { [SCHEDULE]: NO_SCHEDULE } : schedule;
  return { ...marks, ...asleep, ...started, "boot.autostart": "false" };
}

/** The marks that say whose replica it is. */
export function replicaMarks(pair: Pair, index: StateIndex): Config {
  const uuid = pair.kind === "instance" ? pair.source.config["volatile.uuid"] : undefined;
  return { [MARKS.source]: sourceMark(pair, index), ...(uuid === undefined ? {} : { [MARKS.sourceUuid]: uuid }) };
}
