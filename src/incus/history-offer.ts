import type { Copy, KeptSnapshot } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import { unitLabel } from "../model/unit.ts";
import {
  appendSnapshots,
  decodeHeader,
  FS_TYPES,
  LIST_FEATURE,
  type MigrationHeader,
  type OfferedSnapshot,
} from "./migration-header.ts";

/** What both servers have agreed on before the first byte of data, as far as kept history depends on it. */
export type Agreement = {
  readonly offer: MigrationHeader;
  readonly answer: MigrationHeader;
  /** Snapshots that the source no longer has: the offer was completed by them. */
  readonly kept: readonly KeptSnapshot[];
  /** Their dates and those of the offer, in the unit that the servers use. */
  readonly dates: ReadonlyMap<string, bigint>;
};

/** The source's offer with what it lacks, and what is to be checked of the answer. */
export type CompletedOffer = Omit<Agreement, "answer"> & { readonly bytes: Buffer };

/** The ways of sending data that kept history was measured with. */
const KNOWN_FS_TYPES: readonly number[] = [FS_TYPES.rsync, FS_TYPES.btrfs, FS_TYPES.zfs, FS_TYPES.blockAndRsync];
const KNOWN_INDEX_HEADER = 1;

/** Whole seconds are less than this until the year 5138, nanoseconds were more since 1973. */
const SECONDS_END = 100_000_000_000n;
const NANOSECONDS = 1_000_000_000n;

/**
 * Completes the source's offer by what the target holds and the source has forgotten: a target deletes what is not
 * offered to it, and asks for nothing that it has already.
 */
export function completeOffer(copy: Copy, bytes: Buffer): CompletedOffer {
  const offer = decodeHeader(bytes);
  if (copy.keep.length > 0) checkOffer(copy, offer);
  const offered = new Map(offer.snapshots.map(({ name, createdAt }) => [name, createdAt]));
  const kept: KeptSnapshot[] = [];
  const missing: OfferedSnapshot[] = [];
  const dates = new Map(offer.snapshots.map(({ name, createdAt }) => [name, createdAt ?? 0n]));
  for (const snapshot of copy.keep) {
    const createdAt = offeredDate(copy, snapshot);
    if (offered.get(snapshot.name) === createdAt) continue;
    if (offered.has(snapshot.name)) {
      throw refusal(copy, `the source has another snapshot of the name ${snapshot.name}`, RENAME);
    }
    kept.push(snapshot);
    missing.push({ name: snapshot.name, createdAt });
    dates.set(snapshot.name, createdAt);
  }
  return { offer, kept, dates, bytes: appendSnapshots(bytes, missing) };
}

/** Holds the target to what the plan said, before it is too late. */
export function checkAnswer(copy: Copy, completed: CompletedOffer, bytes: Buffer): Agreement {
  const { offer, kept, dates } = completed;
  const answer = decodeHeader(bytes);
  const asked = new Set(answer.snapshotNames);
  const invented = kept.filter(({ name }) => asked.has(name)).map(({ name }) => name);
  if (invented.length > 0) {
    throw refusal(copy, `the target asks for ${list(invented)}, which it has and the source has not`, LOOK);
  }
  if (copy.sends !== undefined) checkAsked(copy, copy.sends, asked);
  if (kept.length > 0) checkMethod(copy, answer);
  const agreement = { offer, answer, kept, dates };
  if (kept.length > 0 && answer.fsType === FS_TYPES.zfs) checkZfs(copy, agreement);
  return agreement;
}

/** Whether the servers tell each other their lists of snapshots in the data channel as well. */
export function hasLists({ answer }: Agreement): boolean {
  if (answer.fsType === FS_TYPES.zfs) return answer.zfsFeatures.includes(LIST_FEATURE.zfs);
  if (answer.fsType === FS_TYPES.btrfs) return answer.btrfsFeatures.includes(LIST_FEATURE.btrfs);
  return false;
}

/** Why a copy that would keep history was not made. Nothing has been lost when this is thrown. */
export function refusal(copy: Copy, why: string, hint: string, cause?: unknown): AgentError {
  return new AgentError("history.refused", `Cannot keep the history of ${unitLabel(copy.target)}: ${why}`, {
    hint,
    cause,
  });
}

/** Names for a message; the first few of many. */
export function list(names: readonly string[]): string {
  const some = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${some} and ${names.length - 5} more` : some;
}

const UNKNOWN_VERSION =
  "This version of Incus works in a way this agent was not made for: see docs/history.md, and look for a newer agent";
const RENAME = "Rename or delete one of the two; the target's is the older one";
const LOOK = "Look at the snapshots on both sides, and run again: what changed meanwhile is seen anew";

function checkOffer(copy: Copy, offer: MigrationHeader): void {
  if (offer.unknownFields.length > 0) {
    throw refusal(copy, `the source's offer has unknown fields (${offer.unknownFields.join(", ")})`, UNKNOWN_VERSION);
  }
  if (offer.hasDependentVolumes) {
    const hint = "Detach them or set their `dependent` to false, and replicate them as volumes of their own";
    throw refusal(copy, "the instance has volumes that depend on it and travel with it", hint);
  }
  const isWhole = offer.snapshots.every(
    ({ name, createdAt }, i) => createdAt !== undefined && name === offer.snapshotNames[i],
  );
  if (!isWhole || offer.snapshots.length !== offer.snapshotNames.length) {
    throw refusal(copy, "the source's offer gives no dates of its snapshots", UNKNOWN_VERSION);
  }
  const unit = copy.kind === "instance" ? "seconds" : "nanoseconds";
  const odd = offer.snapshots.find(({ createdAt = 0n }) => createdAt < SECONDS_END !== (unit === "seconds"));
  if (odd !== undefined) {
    throw refusal(copy, `the date of ${odd.name} in the source's offer is not in ${unit}`, UNKNOWN_VERSION);
  }
}

/** A target's date as it has to be offered: it compares to the nanosecond with what the offer can express. */
function offeredDate(copy: Copy, { name, createdAtExact }: KeptSnapshot): bigint {
  const nanoseconds = nanosecondsOf(createdAtExact);
  if (nanoseconds === undefined) throw refusal(copy, `${name} has no date (${createdAtExact})`, UNKNOWN_VERSION);
  if (copy.kind === "volume") return nanoseconds;
  if (nanoseconds % NANOSECONDS !== 0n) {
    const hint = "Delete it, or copy it to an instance of its own: `incus copy target:instance/snapshot target:name`";
    throw refusal(copy, `${name} was taken on the target itself, and no refresh of an instance spares those`, hint);
  }
  return nanoseconds / NANOSECONDS;
}

const RFC3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/;

function nanosecondsOf(text: string): bigint | undefined {
  const [, seconds, fraction = "", zone] = RFC3339.exec(text) ?? [];
  const at = Date.parse(`${seconds}${zone}`);
  return Number.isNaN(at) ? undefined : BigInt(at) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

function checkAsked(copy: Copy, sends: readonly string[], asked: ReadonlySet<string>): void {
  const unplanned = [...asked].filter((name) => !sends.includes(name));
  const missing = sends.filter((name) => !asked.has(name));
  if (unplanned.length > 0) {
    throw refusal(copy, `the target asks for ${list(unplanned)}, which the plan does not send`, LOOK);
  }
  if (missing.length > 0) throw refusal(copy, `the target does not ask for ${list(missing)}`, LOOK);
}

function checkMethod(copy: Copy, { fsType, indexHeaderVersion, refresh }: MigrationHeader): void {
  if (!KNOWN_FS_TYPES.includes(fsType)) {
    throw refusal(copy, `the servers agreed on an unknown way of sending (type ${fsType})`, UNKNOWN_VERSION);
  }
  if (indexHeaderVersion > KNOWN_INDEX_HEADER) {
    throw refusal(copy, `the target speaks version ${indexHeaderVersion} of the index header`, UNKNOWN_VERSION);
  }
  if (!refresh) throw refusal(copy, "the target is about to make a new replica", LOOK);
}

/** ZFS receives onto the newest snapshot that both have, and destroys whatever is newer on the target. */
function checkZfs(copy: Copy, agreement: Agreement): void {
  const { offer, answer, kept, dates } = agreement;
  if (!hasLists(agreement)) throw refusal(copy, "the servers do not compare GUIDs", UNKNOWN_VERSION);
  const unknown = kept.filter(({ guid }) => guid === undefined).map(({ name }) => name);
  if (unknown.length > 0) {
    const hint =
      "A snapshot on ZFS can be kept from the first run that copied it with `history: keep`; delete older ones";
    throw refusal(copy, `the GUID of ${list(unknown)} is not known`, hint);
  }
  const common = offer.snapshots.filter(({ name }) => !answer.snapshotNames.includes(name));
  const hint = "ZFS would destroy them. Delete them on the target, or rename the replica and let a new one be made";
  if (common.length === 0) throw refusal(copy, "source and target have no snapshot in common", hint);
  const base = common.reduce((newest, { createdAt = 0n }) => (createdAt > newest ? createdAt : newest), 0n);
  const newer = kept.filter(({ name }) => (dates.get(name) ?? 0n) > base).map(({ name }) => name);
  if (newer.length > 0) throw refusal(copy, `newer than any snapshot that both have: ${list(newer)}`, hint);
}
