import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { afterEach, describe, expect, test } from "vitest";
import type { Unit } from "../../../src/model/unit.ts";
import { copyByHand, type HandCopy } from "./copy-by-hand.ts";
import { parseNanos } from "./nanos.ts";
import type { FakeIncusOptions } from "./options.ts";
import { RawClient } from "./raw-client.ts";
import { type FakeIncus, startFakeIncus } from "./start-fake-incus.ts";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

type Pair = { source: FakeIncus; target: FakeIncus; copy: (more?: Partial<HandCopy>) => Promise<Ended>; unit: Unit };
type Ended = { source: string; target: string };
const SUCCESS = { source: "", target: "" };

async function openPair(options: FakeIncusOptions = {}, kind: Unit["kind"] = "instance"): Promise<Pair> {
  const source = await startFakeIncus(options);
  const target = await startFakeIncus(options);
  const [from, to] = [new RawClient(source), new RawClient(target)];
  source.trust(from.certificate.certificate);
  target.trust(to.certificate.certificate);
  closers.push(
    () => from.close(),
    () => to.close(),
    () => source.close(),
    () => target.close(),
  );
  const snapshots = ["s1", "s2", "s3"].map((name) => ({ name, content: `content of ${name}` }));
  const seed = { name: "web1", content: "content of the head", snapshots };
  const unit = kind === "instance" ? source.addInstance(seed) : source.addVolume(seed);
  const addressed =
    kind === "instance"
      ? { from: "instances/web1", to: "instances" }
      : { from: "storage-pools/local/volumes/custom/web1", to: "storage-pools/local/volumes/custom" };
  const body = { name: "web1", architecture: "x86_64", devices: { root: { type: "disk", path: "/", pool: "local" } } };
  const copy = (more: Partial<HandCopy> = {}) =>
    copyByHand({ source: from, target: to, mode: "pull", ...addressed, body, ...more });
  return { source, target, copy, unit };
}

/** Appends a snapshot to the source's offer, which is the first frame on `control`. */
function completing(name: string, date: string): NonNullable<HandCopy["change"]> {
  let isFirst = true;
  return (channel, frame) => {
    if (channel !== "control" || !isFirst) return frame;
    isFirst = false;
    const extra = new BinaryWriter().tag(4, WireType.LengthDelimited).string(name);
    extra.tag(5, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(name);
    extra
      .tag(8, WireType.Varint)
      .int64(parseNanos(date) ?? 0n)
      .join();
    return Buffer.concat([frame, extra.finish()]);
  };
}

function expectEqual({ source, target, unit }: Pair, names: readonly string[]): void {
  expect(target.snapshots(unit)).toEqual(names);
  expect(target.datasets(unit)).toEqual(names);
  for (const name of names) expect(target.digest(unit, name)).toBe(source.digest(unit, name));
  expect(target.digest(unit)).toBe(source.digest(unit));
}

const drivers = ["btrfs", "dir", "zfs"] as const;
const modes = ["pull", "push", "relay"] as const;
const generations = ["6.0", "7.0"] as const;

for (const driver of drivers) {
  for (const kind of ["instance", "volume"] as const) {
    test.each(modes)(`a first copy of a ${kind} on ${driver} and a refresh bring all over in mode %s`, async (mode) => {
      const pair = await openPair({ driver }, kind);
      expect(await pair.copy({ mode })).toEqual(SUCCESS);
      expectEqual(pair, ["s1", "s2", "s3"]);
      pair.source.setContent(pair.unit, "content of a new head");
      pair.source.takeSnapshot(pair.unit, "s4");
      pair.source.setContent(pair.unit, "content of the newest head");
      pair.source.deleteSnapshot(pair.unit, "s1");
      expect(await pair.copy({ mode })).toEqual(SUCCESS);
      expectEqual(pair, ["s2", "s3", "s4"]);
    });
  }
}

test("dates arrive as whole seconds for instances, and as they are for volumes", async () => {
  const instance = await openPair();
  const volume = await openPair({}, "volume");
  for (const { copy } of [instance, volume]) await copy();
  const dates = ({ source, target, unit }: Pair) => [source.dates(unit), target.dates(unit)];
  const [made = [], came] = dates(instance);
  expect(made[0]).toMatch(/\.\d+Z$/);
  expect(came).toEqual(made.map((date) => date.replace(/\.\d+/, "")));
  expect(volume.target.dates(volume.unit)).toEqual(volume.source.dates(volume.unit));
});

test("of two snapshots of one second the second one is never sent, as older ones are excluded", async () => {
  let ms = Date.UTC(2026, 0, 1);
  const pair = await openPair({ now: () => ms });
  ms += 60_000;
  pair.source.takeSnapshot(pair.unit, "a");
  await pair.copy();
  pair.source.takeSnapshot(pair.unit, "b");
  ms += 1000;
  pair.source.takeSnapshot(pair.unit, "c");
  await pair.copy();
  expect(pair.target.snapshots(pair.unit)).toEqual(["s1", "s2", "s3", "a", "c"]);
});

test("a snapshot that only the target has is deleted", async () => {
  const pair = await openPair();
  await pair.copy();
  pair.target.takeSnapshot(pair.unit, "t1");
  expect(await pair.copy()).toEqual(SUCCESS);
  expectEqual(pair, ["s1", "s2", "s3"]);
});

test("instance_only deletes all snapshots of the target", async () => {
  const pair = await openPair();
  await pair.copy();
  await pair.copy({ flags: { instance_only: true } });
  expect(pair.target.snapshots(pair.unit)).toEqual([]);
});

describe("what was pruned on the target and is still on the source", () => {
  const cases = [
    { driver: "dir", generation: "7.0", pruned: "s1", listed: "s2 s3 s4", onDisk: "s2 s3 s4" },
    { driver: "btrfs", generation: "7.0", pruned: "s1", listed: "s2 s3 s4", onDisk: "s2 s3 s1 s4" },
    { driver: "zfs", generation: "7.0", pruned: "s1", listed: "s2 s3 s4", onDisk: "s2 s3 s4" },
    { driver: "zfs", generation: "7.0", pruned: "s2", listed: "s1 s3 s4", onDisk: "s1 s3 s4" },
    { driver: "zfs", generation: "7.0", pruned: "s3", listed: "s1 s2 s3 s4", onDisk: "s1 s2 s3 s4" },
    { driver: "zfs", generation: "6.0", pruned: "s1", listed: "s2 s3 s4", onDisk: "s1 s2 s3 s4" },
    { driver: "zfs", generation: "6.0", pruned: "s2", listed: "s1 s3 s4", onDisk: "s1 s2 s4" },
    { driver: "zfs", generation: "6.0", pruned: "s3", listed: "s1 s2 s3 s4", onDisk: "s1 s2 s3 s4" },
  ] as const;
  test.each(cases)("$pruned on $driver of $generation: $listed are listed, $onDisk exist", async (wanted) => {
    const { driver, generation, pruned, listed, onDisk } = wanted;
    const pair = await openPair({ driver, generation });
    await pair.copy();
    pair.target.deleteSnapshot(pair.unit, pruned);
    pair.source.takeSnapshot(pair.unit, "s4");
    expect(await pair.copy()).toEqual(SUCCESS);
    expect(pair.target.snapshots(pair.unit).join(" ")).toBe(listed);
    expect(pair.target.datasets(pair.unit).join(" ")).toBe(onDisk);
  });

  test("on ZFS of 7.0 without excluding older ones: a ghost, which the size gives away", async () => {
    const pair = await openPair({ driver: "zfs" });
    await pair.copy();
    pair.target.deleteSnapshot(pair.unit, "s1");
    await pair.copy({ flags: { refresh_exclude_older: false } });
    expect(pair.target.snapshots(pair.unit)).toEqual(["s1", "s2", "s3"]);
    expect(pair.target.datasets(pair.unit)).toEqual(["s2", "s3"]);
  });
});

test("a refresh keeps the target's own settings, but for the pool of the root disk", async () => {
  const pair = await openPair({ pools: { local: "dir", tank: "dir" } });
  const root = (pool: string) => ({ root: { type: "disk", path: "/", pool } });
  const body = { name: "web1", architecture: "x86_64", config: { "user.iab.source": "x" }, devices: root("local") };
  await pair.copy({ body });
  await pair.copy({ body: { ...body, config: { "user.iab.source": "y" }, devices: root("tank") } });
  expect(pair.target.config(pair.unit)).toMatchObject({ "user.iab.source": "x" });
  expect(JSON.stringify(pair.target.state())).toContain('"pool":"tank"');
});

test.each(generations)(
  "a migration whose connections never come fails in %s, and its target is gone",
  async (generation) => {
    const pair = await openPair({ generation, timings: { connectWithinMs: 20 } });
    const ended = await pair.copy({ mode: "pull", flags: { operation: "https://127.0.0.1:9/1.0/operations/x" } });
    expect(ended.source).toContain(
      "Failed waiting for migration control connection on source: context deadline exceeded",
    );
    expect(ended.target).toContain("Failed waiting for migration control connection on target: Unable to connect to");
    expect(pair.target.has(pair.unit)).toBe(false);
  },
);

test("a certificate of another server is refused by who dials", async () => {
  const pair = await openPair({ timings: { connectWithinMs: 50 } });
  const { target } = await pair.copy({ flags: { certificate: pair.target.certificate } });
  expect(target).toContain("x509: certificate signed by unknown authority");
});

test("a wrong secret is a bad handshake", async () => {
  const pair = await openPair({ timings: { connectWithinMs: 50 } });
  const { target } = await pair.copy({ flags: { secrets: { control: "00", fs: "00" } } });
  expect(target).toContain("websocket: bad handshake");
});

test("a running target is refused at once, and untouched", async () => {
  const pair = await openPair({ timings: { connectWithinMs: 20 } });
  pair.target.addInstance({ name: "web1", status: "Running", snapshots: ["old"] });
  const { target } = await pair.copy();
  expect(target).toBe("Failed getting exclusive access to instance: Instance is running");
  expect(pair.target.snapshots(pair.unit)).toEqual(["old"]);
});

const cuts = [
  { channel: "control", afterBytes: 0 },
  { channel: "fs", afterBytes: 0 },
  { channel: "fs", afterBytes: 30_000 },
] as const;
test.each(cuts)(
  "$channel cut after $afterBytes bytes fails both, keeps the old, and the next refresh heals",
  async (cut) => {
    const pair = await openPair();
    await pair.copy();
    pair.source.setContent(pair.unit, "x".repeat(100_000));
    pair.source.takeSnapshot(pair.unit, "s4");
    pair.target.faults.add({
      match: { method: "POST", path: "/1.0/instances" },
      what: { kind: "migration-cut", ...cut },
    });
    const { source, target } = await pair.copy();
    for (const end of [source, target]) expect(end).toMatch(/websocket: close|broken pipe/);
    expect(pair.target.snapshots(pair.unit)).toEqual(["s1", "s2", "s3"]);
    expect(await pair.copy()).toEqual(SUCCESS);
    expectEqual(pair, ["s1", "s2", "s3", "s4"]);
  },
);

test("a target without room fails, and so does its source", async () => {
  const pair = await openPair();
  pair.target.faults.add({
    match: { method: "POST", path: "/1.0/instances" },
    what: { kind: "storage-full", afterBytes: 100 },
  });
  const { source, target } = await pair.copy();
  expect(target).toContain("no space left on device");
  expect(source).toContain("no space left on device");
  expect(pair.target.has(pair.unit)).toBe(false);
});

test("a target may say that it succeeded where only the source knows better", async () => {
  const pair = await openPair();
  await pair.copy();
  pair.source.setContent(pair.unit, "new");
  pair.target.faults.add({ match: { method: "POST", path: "/1.0/instances" }, what: { kind: "false-success" } });
  const { source, target } = await pair.copy();
  expect({ target, failed: source !== "" }).toEqual({ target: "", failed: true });
  expect(pair.target.digest(pair.unit)).not.toBe(pair.source.digest(pair.unit));
});

test("a relay that completes the offer keeps what the source has lost", async () => {
  const pair = await openPair({}, "volume");
  await pair.copy();
  const kept = pair.source.dates(pair.unit)[0] ?? "";
  pair.source.deleteSnapshot(pair.unit, "s1");
  pair.source.takeSnapshot(pair.unit, "s4");
  const done = await pair.copy({ mode: "relay", change: completing("s1", kept) });
  expect(done).toEqual(SUCCESS);
  expect(pair.target.snapshots(pair.unit)).toEqual(["s1", "s2", "s3", "s4"]);
});

test("a target that asks for what was not offered fails its source", async () => {
  const pair = await openPair({ driver: "dir" });
  await pair.copy();
  pair.target.faults.add({
    match: { method: "POST", path: "/1.0/instances" },
    what: { kind: "ask-for", names: ["invented"] },
  });
  expect((await pair.copy()).source).toContain('"invented"');
});
