import { z } from "zod";
import type { Copy, KeptSnapshot } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import { type Agreement, hasLists, list, refusal } from "./history-offer.ts";
import { FS_TYPES } from "./migration-header.ts";
import type { Frame, Inspect } from "./relay-pump.ts";

/** The GUID of each snapshot on ZFS, by its name. */
export type Guids = ReadonlyMap<string, string>;

/** The lists of snapshots that the storage drivers exchange on the data channel before they send data. */
export type ListExchange = {
  readonly toTarget: Inspect;
  readonly toSource: Inspect;
  /** What both lists named so far: every snapshot of the source, and every one of the target's. */
  guids(): Guids;
};

const ZfsDataset = z.looseObject({ name: z.string(), guid: z.string() });
const ZfsList = z.looseObject({ snapshot_datasets: z.array(ZfsDataset).nullable() });
const BtrfsList = z.looseObject({
  subvolumes: z.array(z.looseObject({ path: z.string(), snapshot: z.string() })).nullable(),
});

/** A list is a few hundred bytes a snapshot. */
const MOST_LIST_BYTES = 64 * 1024 * 1024;

/**
 * Follows the beginning of the data channel: the index header and the answer to it pass as they are; of ZFS, the
 * source's list of GUIDs is completed by the kept snapshots; and the target's list is held against the plan.
 */
export function exchangeLists(copy: Copy, agreement: () => Agreement): ListExchange {
  const guids = new Map<string, string>();
  return {
    toTarget: afterIndexHeader(agreement, (text) => completeList(copy, agreement(), text, guids)),
    toSource: afterIndexHeader(agreement, (text) => {
      checkList(copy, agreement(), text, guids);
      return text;
    }),
    guids: () => guids,
  };
}

/** Passes the index header on, then hands over the list that follows as a whole, then passes everything on. */
function afterIndexHeader(agreement: () => Agreement, onList: (text: string) => string): Inspect {
  let state: "index" | "list" | "data" | undefined;
  let parts: Buffer[] = [];
  return (frame) => {
    state ??= agreement().answer.indexHeaderVersion > 0 ? "index" : stateAfterIndex(agreement());
    if (state === "data") return [frame];
    if (state === "index") {
      if (isBarrier(frame)) state = stateAfterIndex(agreement());
      return [frame];
    }
    if (!isBarrier(frame)) {
      parts.push(frame.data);
      checkSize(parts);
      return [];
    }
    state = "data";
    const text = onList(Buffer.concat(parts).toString("utf8"));
    parts = [];
    return [{ data: Buffer.from(text), isBinary: true }, frame];
  };
}

function stateAfterIndex(agreement: Agreement): "list" | "data" {
  return hasLists(agreement) ? "list" : "data";
}

/** Both sides end what they say by an empty text message. */
function isBarrier(frame: Frame): boolean {
  return !frame.isBinary && frame.data.length === 0;
}

function checkSize(parts: readonly Buffer[]): void {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  if (size > MOST_LIST_BYTES)
    throw new AgentError("incus.bad-reply", `A list of snapshots is longer than ${size} bytes`);
}

/** The source's list, with the kept snapshots where their age puts them. The target deletes what it does not name. */
function completeList(copy: Copy, agreement: Agreement, text: string, guids: Map<string, string>): string {
  const { answer, kept, dates } = agreement;
  if (answer.fsType !== FS_TYPES.zfs) return text;
  const read = readList(copy, ZfsList, text);
  const offered = read.snapshot_datasets ?? [];
  for (const { name, guid } of offered) guids.set(name, guid);
  if (kept.length === 0) return text;
  const age = ({ name }: Dataset) => dates.get(name) ?? 0n;
  const added = kept
    .map((snapshot) => ({ name: snapshot.name, guid: knownGuid(copy, snapshot) }))
    .sort((a, b) => (age(a) < age(b) ? -1 : 1));
  return JSON.stringify({ ...read, snapshot_datasets: merged(added, offered, age) });
}

type Dataset = z.infer<typeof ZfsDataset>;

/** Both lists as one, each in its own order: the source's is that of its transactions, which counts. */
function merged(added: readonly Dataset[], offered: readonly Dataset[], age: (dataset: Dataset) => bigint): Dataset[] {
  const older = (than: Dataset, from: number) => added.slice(from).findIndex((one) => age(one) > age(than));
  const inOrder: Dataset[] = [];
  let next = 0;
  for (const dataset of offered) {
    const count = older(dataset, next);
    const upTo = count < 0 ? added.length : next + count;
    inOrder.push(...added.slice(next, upTo), dataset);
    next = upTo;
  }
  return [...inOrder, ...added.slice(next)];
}

function knownGuid(copy: Copy, { name, guid }: KeptSnapshot): string {
  if (guid === undefined) throw refusal(copy, `the GUID of ${name} is not known`, AGAIN);
  return guid;
}

const AGAIN = "Nothing was sent. Look at the replica's snapshots; `iab status` shows what is lost";

/** The target has said what it has (ZFS) or what it wants (btrfs): the last moment before data flows. */
function checkList(copy: Copy, agreement: Agreement, text: string, guids: Map<string, string>): void {
  if (agreement.answer.fsType === FS_TYPES.btrfs) {
    const wanted = (readList(copy, BtrfsList, text).subvolumes ?? []).map(({ snapshot }) => snapshot);
    checkSent(
      copy,
      wanted.filter((name) => name !== ""),
    );
    return;
  }
  const there = new Map((readList(copy, ZfsList, text).snapshot_datasets ?? []).map(({ name, guid }) => [name, guid]));
  const lost = agreement.kept.filter(({ name, guid }) => there.get(name) !== guid).map(({ name }) => name);
  if (lost.length > 0) throw refusal(copy, `the target does not hold ${list(lost)} as remembered`, AGAIN);
  const held = new Set(there.values());
  checkSent(
    copy,
    agreement.offer.snapshotNames.filter((name) => !held.has(guids.get(name) ?? "")),
  );
  for (const [name, guid] of there) guids.set(name, guid);
}

function checkSent(copy: Copy, names: readonly string[]): void {
  const { sends } = copy;
  if (sends === undefined) return;
  const unplanned = names.filter((name) => !sends.includes(name));
  if (unplanned.length === 0) return;
  throw refusal(copy, `the target would have ${list(unplanned)} sent again, which it should have already`, AGAIN);
}

/** The GUIDs that a list of ZFS names; without those that have none, as of a record without data. */
export function readZfsList(copy: Copy, text: string): Guids {
  const datasets = readList(copy, ZfsList, text).snapshot_datasets ?? [];
  return new Map(datasets.filter(({ guid }) => guid !== "").map(({ name, guid }) => [name, guid]));
}

function readList<T>(copy: Copy, schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    const hint = "This version of Incus works in a way this agent was not made for: see docs/history.md";
    throw refusal(copy, "a list of snapshots in the data channel cannot be read", hint, cause);
  }
}
