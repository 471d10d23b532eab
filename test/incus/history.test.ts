import { expect, test } from "vitest";
import { watchHistory } from "../../src/incus/history.ts";
import { decodeHeader } from "../../src/incus/migration-header.ts";
import type { Frame } from "../../src/incus/relay-pump.ts";
import type { Copy, KeptSnapshot } from "../../src/model/copy.ts";
import { instanceCopy, volumeCopy } from "./copies.ts";
import { type HeaderParts, headerBytes } from "./headers.ts";

const BARRIER: Frame = { data: Buffer.alloc(0), isBinary: false };
const SECOND = 1_795_154_400n;

/** Snapshots by their age in hours before a fixed moment, as the source offers those of an instance. */
function offered(...ages: number[]) {
  return ages.map((age) => ({ name: `s${age}`, createdAt: SECOND - BigInt(age * 3600) }));
}

function kept(age: number, guid?: string): KeptSnapshot {
  const createdAtExact = new Date(Number(SECOND - BigInt(age * 3600)) * 1000).toISOString();
  return { name: `s${age}`, createdAtExact, guid };
}

function binary(content: Buffer | object): Frame {
  return { data: Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content)), isBinary: true };
}

function keepingCopy(keep: KeptSnapshot[], sends: string[] | undefined, changes: Partial<Copy> = {}): Copy {
  return { ...instanceCopy({ mode: "relay", keep, sends }), ...changes } as Copy;
}

/** Lets both servers say their first word, and gives the history with what arrived at the target. */
function negotiate(copy: Copy, offer: HeaderParts, answer: HeaderParts) {
  const history = watchHistory(copy);
  const [arrived] = history.control.toTarget(binary(headerBytes(offer)));
  const back = history.control.toSource(binary(headerBytes(answer)));
  return { history, arrived: decodeHeader(arrived?.data ?? Buffer.alloc(0)), back };
}

const RSYNC: HeaderParts = { fsType: 0, indexHeaderVersion: 1 };
const BTRFS: HeaderParts = { fsType: 1, btrfsFeatures: [1, 2, 3], indexHeaderVersion: 1 };
const ZFS: HeaderParts = { fsType: 2, zfsFeatures: [1, 2, 3], indexHeaderVersion: 1 };

test("watchHistory() leaves a mirror's messages alone, whatever they are", () => {
  const history = watchHistory(instanceCopy());
  const frame = binary(Buffer.from("no header at all"));
  for (const way of [history.control.toTarget, history.control.toSource, history.fs.toTarget, history.fs.toSource]) {
    expect(way(frame)).toEqual([frame]);
  }
});

test("watchHistory() offers the target what it holds and the source has forgotten", () => {
  const copy = keepingCopy([kept(99), kept(50)], ["s0"]);
  const { arrived, back } = negotiate(
    copy,
    { ...RSYNC, snapshots: offered(2, 1, 0) },
    { ...RSYNC, refresh: true, snapshots: offered(0) },
  );
  expect(arrived.snapshots).toEqual(offered(2, 1, 0, 99, 50));
  expect(back).toHaveLength(1);
});

test("watchHistory() offers nothing twice: what the source still has needs no help", () => {
  const copy = keepingCopy([kept(99), kept(2)], undefined);
  const { arrived } = negotiate(copy, { ...RSYNC, snapshots: offered(2, 1) }, { ...RSYNC, refresh: true });
  expect(arrived.snapshots).toEqual(offered(2, 1, 99));
});

test("watchHistory() tells the date of a volume's snapshot in nanoseconds, to the last of them", () => {
  const keep = [{ name: "old", createdAtExact: "2026-11-20T06:00:00.123456789Z", guid: undefined }];
  const snapshots = [{ name: "new", createdAt: 1_795_154_500_000_000_001n }];
  const copy = volumeCopy({ mode: "relay", keep, sends: [] });
  const { arrived } = negotiate(copy, { ...BTRFS, snapshots }, { ...BTRFS, refresh: true });
  expect(arrived.snapshots).toEqual([...snapshots, { name: "old", createdAt: 1_795_154_400_123_456_789n }]);
});

const refusals: { name: string; copy?: Copy; offer?: HeaderParts; answer?: HeaderParts; says: RegExp }[] = [
  {
    name: "an answer that asks for an invented snapshot",
    answer: { ...RSYNC, refresh: true, snapshots: offered(99, 0) },
    says: /asks for s99, which it has/,
  },
  {
    name: "an answer that asks for more than is sent",
    answer: { ...RSYNC, refresh: true, snapshots: offered(1, 0) },
    says: /asks for s1, which the plan does not send/,
  },
  {
    name: "an answer that does not ask for what is sent",
    answer: { ...RSYNC, refresh: true },
    says: /does not ask for s0/,
  },
  {
    name: "an answer that means a new replica",
    answer: { ...RSYNC, refresh: false, snapshots: offered(0) },
    says: /about to make a new replica/,
  },
  {
    name: "an unknown version of the index header",
    answer: { ...RSYNC, indexHeaderVersion: 2, refresh: true, snapshots: offered(0) },
    says: /version 2 of the index header/,
  },
  {
    name: "an unknown way of sending",
    answer: { ...RSYNC, fsType: 6, refresh: true, snapshots: offered(0) },
    says: /type 6/,
  },
  { name: "an offer with an unknown field", offer: { ...RSYNC, unknownField: 15 }, says: /unknown fields \(15\)/ },
  {
    name: "an instance with dependent volumes",
    offer: { ...RSYNC, dependentVolumes: 1 },
    says: /volumes that depend on it/,
  },
  {
    name: "dates in another unit",
    offer: { ...RSYNC, snapshots: [{ name: "s0", createdAt: SECOND * 1_000_000_000n }] },
    says: /date of s0 .* is not in seconds/,
  },
  {
    name: "another snapshot of the same name on the source",
    offer: { ...RSYNC, snapshots: [{ name: "s99", createdAt: SECOND }] },
    says: /another snapshot of the name s99/,
  },
  {
    name: "a snapshot taken on the target itself, whose date the protocol cannot express",
    copy: keepingCopy([{ name: "own", createdAtExact: "2026-11-20T06:00:00.5Z", guid: undefined }], ["s0"]),
    says: /own was taken on the target itself/,
  },
  {
    name: "a snapshot without a date",
    copy: keepingCopy([{ name: "odd", createdAtExact: "", guid: undefined }], ["s0"]),
    says: /odd has no date/,
  },
  {
    name: "ZFS without the comparison of GUIDs",
    offer: { ...ZFS, snapshots: offered(1, 0) },
    answer: { ...ZFS, zfsFeatures: [1], refresh: true, snapshots: offered(0) },
    says: /do not compare GUIDs/,
  },
  {
    name: "ZFS and a GUID that nobody knows",
    offer: { ...ZFS, snapshots: offered(1, 0) },
    answer: { ...ZFS, refresh: true, snapshots: offered(0) },
    says: /the GUID of s99 is not known/,
  },
  {
    name: "ZFS and nothing in common",
    copy: keepingCopy([kept(99, "g99")], ["s0"]),
    offer: { ...ZFS, snapshots: offered(0) },
    answer: { ...ZFS, refresh: true, snapshots: offered(0) },
    says: /no snapshot in common/,
  },
  {
    name: "ZFS and a kept snapshot newer than all that is common",
    copy: keepingCopy([kept(99, "g99"), kept(1, "g1")], ["s0"]),
    offer: { ...ZFS, snapshots: offered(2, 0) },
    answer: { ...ZFS, refresh: true, snapshots: offered(0) },
    says: /newer than any snapshot that both have: s1/,
  },
];

for (const { name, copy, offer, answer, says } of refusals) {
  test(`watchHistory() refuses ${name}`, () => {
    const negotiation = () =>
      negotiate(
        copy ?? keepingCopy([kept(99)], ["s0"]),
        offer ?? { ...RSYNC, snapshots: offered(1, 0) },
        answer ?? { ...RSYNC, refresh: true, snapshots: offered(0) },
      );
    expect(negotiation).toThrow(says);
    expect(negotiation).toThrow(expect.objectContaining({ code: "history.refused", hint: expect.any(String) }));
  });
}

test("watchHistory() passes a server's word that it failed, and does not take it for an answer", () => {
  const history = watchHistory(keepingCopy([kept(99)], ["s0"]));
  history.control.toTarget(binary(headerBytes({ ...RSYNC, snapshots: offered(1, 0) })));
  const failed = binary(Buffer.from([0x08, 0x00, 0x12, 0x02, 0x6e, 0x6f]));
  expect(history.control.toSource(failed)).toEqual([failed]);
  expect(() => history.fs.toTarget(binary({ config: {} }))).toThrow("before the servers had agreed");
});

test("watchHistory() passes what follows the first messages on control", () => {
  const { history } = negotiate(
    keepingCopy([kept(99)], ["s0"]),
    { ...RSYNC, snapshots: offered(1, 0) },
    { ...RSYNC, refresh: true, snapshots: offered(0) },
  );
  const success = binary(Buffer.from([0x08, 0x01]));
  expect(history.control.toSource(success)).toEqual([success]);
  expect(history.control.toTarget(success)).toEqual([success]);
});

const zfsAgreed = () =>
  negotiate(
    keepingCopy([kept(50, "g50"), kept(99, "g99"), kept(3, "g3")], ["s0"]),
    { ...ZFS, snapshots: offered(4, 1, 0) },
    { ...ZFS, refresh: true, snapshots: offered(0) },
  ).history;

function passIndex(history: ReturnType<typeof zfsAgreed>): void {
  const index = [binary({ config: { name: "web1" } }), BARRIER];
  expect(index.flatMap((frame) => history.fs.toTarget(frame))).toEqual(index);
  const answer = [binary({ StatusCode: 200, Error: "", Refresh: true }), BARRIER];
  expect(answer.flatMap((frame) => history.fs.toSource(frame))).toEqual(answer);
}

const dataset = (age: number) => ({ name: `s${age}`, guid: `g${age}` });

test("watchHistory() puts kept snapshots into the list of ZFS where their age belongs", () => {
  const history = zfsAgreed();
  passIndex(history);
  const list = JSON.stringify({ snapshot_datasets: [dataset(4), dataset(1), dataset(0)], more: 1 });
  const halves = [list.slice(0, 20), list.slice(20)].map((half) => binary(Buffer.from(half)));
  const arrived = [...halves, BARRIER].flatMap((frame) => history.fs.toTarget(frame));
  expect(arrived).toHaveLength(2);
  expect(JSON.parse(String(arrived[0]?.data))).toEqual({
    snapshot_datasets: [dataset(99), dataset(50), dataset(4), dataset(3), dataset(1), dataset(0)],
    more: 1,
  });
  expect(arrived[1]).toEqual(BARRIER);
  const answer = [binary({ snapshot_datasets: [99, 50, 4, 3, 1].map(dataset) }), BARRIER];
  expect(answer.flatMap((frame) => history.fs.toSource(frame))).toEqual(answer);
  expect(Object.fromEntries(history.guids())).toEqual({
    s99: "g99",
    s50: "g50",
    s4: "g4",
    s3: "g3",
    s1: "g1",
    s0: "g0",
  });
  const data = [binary(Buffer.from("stream")), BARRIER, binary(Buffer.from("another")), BARRIER];
  expect(data.flatMap((frame) => history.fs.toTarget(frame))).toEqual(data);
});

const zfsLists: { name: string; list: object; says: RegExp }[] = [
  { name: "that lacks a kept snapshot", list: [99, 4, 3, 1].map(dataset), says: /does not hold s50/ },
  {
    name: "that has another GUID for one",
    list: [{ name: "s99", guid: "g0" }, ...[50, 4, 3, 1].map(dataset)],
    says: /does not hold s99/,
  },
  { name: "that lacks what both should have", list: [99, 50, 4, 3].map(dataset), says: /s1 sent again/ },
  { name: "of a target that has wiped itself", list: [], says: /does not hold s50, s99, s3/ },
];

for (const { name, list, says } of zfsLists) {
  test(`watchHistory() refuses a target's list of ZFS ${name}`, () => {
    const history = zfsAgreed();
    passIndex(history);
    history.fs.toTarget(binary({ snapshot_datasets: [4, 1, 0].map(dataset) }));
    history.fs.toTarget(BARRIER);
    history.fs.toSource(binary({ snapshot_datasets: list }));
    expect(() => history.fs.toSource(BARRIER)).toThrow(says);
  });
}

test("watchHistory() refuses a list that is none", () => {
  const history = zfsAgreed();
  passIndex(history);
  history.fs.toTarget(binary(Buffer.from("<html>")));
  expect(() => history.fs.toTarget(BARRIER)).toThrow("cannot be read");
});

test("watchHistory() gives up a list that has no end", () => {
  const history = zfsAgreed();
  passIndex(history);
  const part = binary(Buffer.alloc(33 * 1024 * 1024));
  history.fs.toTarget(part);
  expect(() => history.fs.toTarget(part)).toThrow("longer than");
});

test("watchHistory() tells the GUIDs of a first copy, where the target has no list", () => {
  const { history } = negotiate(
    keepingCopy([], ["s1", "s0"]),
    { ...ZFS, snapshots: offered(1, 0) },
    { ...ZFS, refresh: false, snapshots: offered(1, 0) },
  );
  passIndex(history);
  const list = [binary({ snapshot_datasets: [1, 0].map(dataset) }), BARRIER];
  expect(list.flatMap((frame) => history.fs.toTarget(frame))).toEqual(list);
  expect(Object.fromEntries(history.guids())).toEqual({ s1: "g1", s0: "g0" });
});

const btrfsAgreed = () =>
  negotiate(
    keepingCopy([kept(99)], ["s0"]),
    { ...BTRFS, snapshots: offered(1, 0) },
    { ...BTRFS, refresh: true, snapshots: offered(0) },
  ).history;

const subvolumes = (...names: string[]) =>
  names.map((snapshot) => ({ path: "/", snapshot, readonly: true, uuid: "u" }));

test("watchHistory() passes the lists of btrfs as they are", () => {
  const history = btrfsAgreed();
  passIndex(history);
  const list = [binary({ subvolumes: subvolumes("s1", "s0", "") }), BARRIER];
  expect(list.flatMap((frame) => history.fs.toTarget(frame))).toEqual(list);
  const wanted = [binary({ subvolumes: subvolumes("s0", "") }), BARRIER];
  expect(wanted.flatMap((frame) => history.fs.toSource(frame))).toEqual(wanted);
  expect(history.guids().size).toBe(0);
});

test("watchHistory() refuses a target on btrfs that wants again what it has", () => {
  const history = btrfsAgreed();
  passIndex(history);
  history.fs.toSource(binary({ subvolumes: subvolumes("s1", "s0", "") }));
  expect(() => history.fs.toSource(BARRIER)).toThrow(/s1 sent again/);
});

test("watchHistory() looks for no list where the servers agreed on none", () => {
  const { history } = negotiate(
    keepingCopy([kept(99)], ["s0"]),
    { ...RSYNC, snapshots: offered(1, 0) },
    { ...RSYNC, refresh: true, snapshots: offered(0) },
  );
  passIndex(history);
  const data = [binary(Buffer.from("rsync")), BARRIER];
  expect(data.flatMap((frame) => history.fs.toTarget(frame))).toEqual(data);
});

test("watchHistory() expects no index header where the servers agreed on none", () => {
  const { history } = negotiate(
    keepingCopy([], ["s0"]),
    { ...ZFS, indexHeaderVersion: 0, snapshots: offered(0) },
    { ...ZFS, indexHeaderVersion: 0, refresh: true, snapshots: offered(0) },
  );
  history.fs.toTarget(binary({ snapshot_datasets: [dataset(0)] }));
  history.fs.toTarget(BARRIER);
  expect(Object.fromEntries(history.guids())).toEqual({ s0: "g0" });
});
