import { expect, test, vi } from "vitest";
import type { Clock } from "../../src/model/ports.ts";
import { MINUTE_MS } from "../../src/model/time.ts";
import type { Unit } from "../../src/model/unit.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { FakeIncus } from "../fakes/incus/start-fake-incus.ts";
import { copyOfInstance, copyOfVolume, type FakePair, openFakePair } from "./fake-pair.ts";

const MODES = ["pull", "push", "relay"] as const;
const GENERATIONS = ["6.0", "7.0"] as const;
const SNAPSHOTS = [
  { name: "s1", content: "first" },
  { name: "s2", content: "second" },
];

/** Whether the agent waits for an operation of the server. */
function isWaitedFor(fake: FakeIncus): boolean {
  return fake.requests.some(({ method, path }) => method === "UPGRADE" && path.startsWith("/1.0/events"));
}

function expectEqual({ source, target }: FakePair, unit: Unit): void {
  const names = source.snapshots(unit);
  expect(target.snapshots(unit)).toEqual(names);
  expect(target.datasets(unit)).toEqual(names);
  for (const name of [undefined, ...names]) expect(target.digest(unit, name)).toBe(source.digest(unit, name));
}

for (const generation of GENERATIONS) {
  for (const mode of MODES) {
    test(`copy() makes and refreshes replicas in ${mode} mode on ${generation}`, async () => {
      const pair = await openFakePair({ source: { generation }, target: { generation } });
      const web = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
      const data = pair.source.addVolume({ name: "data", content: "live", snapshots: SNAPSHOTS });
      for (const copy of [copyOfInstance(web, { mode }), copyOfVolume(data, { mode })]) {
        await pair.copy(copy);
        expectEqual(pair, copy.source);
        pair.source.setContent(copy.source, "changed");
        pair.source.takeSnapshot(copy.source, "s3");
        pair.source.deleteSnapshot(copy.source, "s1");
        await pair.copy(copy);
        expectEqual(pair, copy.source);
      }
      expect(pair.target.status(web)).toBe("Stopped");
    });

    test(`copy() in ${mode} mode on ${generation} says in the words of both why it failed`, async () => {
      const pair = await openFakePair({ source: { generation }, target: { generation } });
      const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
      pair.target.faults.add({
        match: { method: "POST", path: /instances$/ },
        what: { kind: "storage-full", afterBytes: 0 },
      });
      const failed = pair.copy(copyOfInstance(unit, { mode }));
      await expect(failed).rejects.toMatchObject({
        code: "incus.operation-failed",
        hint: expect.stringMatching(/full/),
      });
      await expect(failed).rejects.toThrow(
        /^Cannot copy web1: the target spare says: .*No space.*; the source prod says: /i,
      );
    });
  }
}

test("copy() is done only if both servers call it a success", async () => {
  for (const mode of MODES) {
    const pair = await openFakePair();
    const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
    pair.target.faults.add({ match: { method: "POST", path: /instances$/ }, what: { kind: "false-success" } });
    const failed = pair.copy(copyOfInstance(unit, { mode }));
    await expect(failed).rejects.toThrow(/^Cannot copy web1: the source prod says: /);
  }
});

test("copy() ends the source's operation when the target refuses the other one", async () => {
  for (const mode of ["pull", "relay"] as const) {
    const pair = await openFakePair();
    const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
    const what = { kind: "refuse", status: 500, error: "Instance is running" } as const;
    pair.target.faults.add({ match: { method: "POST", path: /instances$/ }, what });
    await expect(pair.copy(copyOfInstance(unit, { mode }))).rejects.toMatchObject({
      code: "incus.refused",
      status: 500,
    });
    expect(pair.source.requests.map(({ method }) => method)).toContain("DELETE");
  }
});

test("copy() in push mode ends the sink when the source refuses", async () => {
  const pair = await openFakePair();
  const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
  const what = { kind: "refuse", status: 404, error: "Instance not found" } as const;
  pair.source.faults.add({ match: { method: "POST", path: /web1$/ }, what });
  await expect(pair.copy(copyOfInstance(unit, { mode: "push" }))).rejects.toMatchObject({ status: 404 });
  expect(pair.target.requests.map(({ method }) => method)).toContain("DELETE");
});

test("copy() waits for the server to be done with the instance", async () => {
  const pair = await openFakePair();
  const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
  const error = 'Failed creating instance record: Instance is busy running a "create" operation';
  const what = { kind: "refuse", status: 500, error } as const;
  pair.target.faults.add({ match: { method: "POST", path: /instances$/ }, what });
  await pair.copy(copyOfInstance(unit, { mode: "push" }));
  expectEqual(pair, unit);
});

test("copy() refuses to keep history where it does not stand between the servers", async () => {
  const pair = await openFakePair();
  const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
  const keep = [{ name: "s0", createdAtExact: "2026-01-01T00:00:00Z", guid: undefined }];
  for (const mode of ["pull", "push"] as const) {
    await expect(pair.copy(copyOfInstance(unit, { mode, keep }))).rejects.toMatchObject({ code: "history.refused" });
  }
  expect(pair.target.has(unit)).toBe(false);
});

for (const mode of MODES) {
  test(`copy() in ${mode} mode ends with the signal, and ends both operations`, async () => {
    const pair = await openFakePair({ operationTimeoutMs: 1000 });
    const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
    pair.target.faults.add({ match: { method: "POST", path: /instances$/ }, what: { kind: "operation-silent" } });
    const controller = new AbortController();
    const copied = pair.copy(copyOfInstance(unit, { mode }), controller.signal);
    const isUnderWay = ({ source, target }: FakePair) => [source, target].every(isWaitedFor);
    await vi.waitFor(() => expect(isUnderWay(pair)).toBe(true), { timeout: 15_000 });
    controller.abort(new Error("enough"));
    await expect(copied).rejects.toThrow("enough");
    // The source's ends by itself when a relay lets go; the target's is deaf to that, and is cancelled in the end.
    expect(pair.source.requests.some(({ method }) => method === "DELETE")).toBe(mode !== "relay");
    expect(pair.target.requests.map(({ method }) => method)).toContain("DELETE");
  });
}

test("copy() gives up what does not move, and names it", async () => {
  const pair = await openFakePair({ operationTimeoutMs: 500 });
  const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
  pair.target.faults.add({ match: { method: "POST", path: /instances$/ }, what: { kind: "operation-silent" } });
  const failed = pair.copy(copyOfInstance(unit, { mode: "relay" }));
  await expect(failed).rejects.toThrow(/has not moved/);
});

for (const mode of MODES) {
  test(`copy() in ${mode} mode does not wait for ever for a source whose target is done`, async () => {
    // Long pauses pass at once.
    const sleep: Clock["sleep"] = (durationMs, signal) =>
      systemClock.sleep(durationMs >= MINUTE_MS ? 300 : durationMs, signal);
    const pair = await openFakePair({ clock: { now: systemClock.now, sleep } });
    const unit = pair.source.addVolume({ name: "data", content: "live", snapshots: SNAPSHOTS });
    pair.source.faults.add({
      match: { method: "POST", path: /volumes\/custom\/data$/ },
      what: { kind: "operation-never-ends" },
    });
    await expect(pair.copy(copyOfVolume(unit, { mode }))).rejects.toMatchObject({
      code: "incus.operation-failed",
      message: expect.stringMatching(/spare calls the copy a success, and its operation on prod has not ended 120 s/),
    });
  });
}

/** A clock on which a second passes in ten milliseconds. */
function fastClock(): Clock {
  const beganAt = systemClock.now();
  return {
    now: () => beganAt + (systemClock.now() - beganAt) * 100,
    sleep: (durationMs, signal) => systemClock.sleep(durationMs / 100, signal),
  };
}

const LATE = { kind: "late-success", afterMs: 400 } as const;

for (const mode of MODES) {
  test(`copy() in ${mode} mode believes a volume's target of 6.0 that lost its last word, if the snapshots are there`, async () => {
    const pair = await openFakePair({
      source: { generation: "6.0" },
      target: { generation: "6.0" },
      clock: fastClock(),
      operationTimeoutMs: 300_000,
    });
    const unit = pair.source.addVolume({ name: "data", content: "live", snapshots: SNAPSHOTS });
    pair.target.faults.add({ match: { method: "POST", path: /volumes\/custom$/ }, what: LATE });
    const { lingering } = await pair.copy(copyOfVolume(unit, { mode, sends: ["s1", "s2"] }));
    expectEqual(pair, unit);
    // Only a source that was dialled waits for the word.
    expect(typeof lingering).toBe(mode === "pull" ? "string" : "undefined");
  });

  test(`copy() in ${mode} mode needs no belief where the target tells its late success`, async () => {
    const pair = await openFakePair({
      source: { generation: "6.0" },
      clock: fastClock(),
      operationTimeoutMs: 300_000,
    });
    const unit = pair.source.addVolume({ name: "data", content: "live", snapshots: SNAPSHOTS });
    pair.target.faults.add({ match: { method: "POST", path: /volumes\/custom$/ }, what: LATE });
    expect(await pair.copy(copyOfVolume(unit, { mode, sends: ["s1", "s2"] }))).not.toHaveProperty("lingering");
    expectEqual(pair, unit);
  });
}

for (const mode of ["pull", "push"] as const) {
  test(`copy() in ${mode} mode does not believe it if a snapshot is not there`, async () => {
    const pair = await openFakePair({
      source: { generation: "6.0" },
      target: { generation: "6.0" },
      clock: fastClock(),
      operationTimeoutMs: 300_000,
    });
    const unit = pair.source.addVolume({ name: "data", content: "live", snapshots: SNAPSHOTS });
    pair.target.faults.add({ match: { method: "POST", path: /volumes\/custom$/ }, what: LATE });
    const failed = pair.copy(copyOfVolume(unit, { mode, sends: ["s1", "s2", "s3"] }));
    await expect(failed).rejects.toMatchObject({ code: "copy.unproven" });
    await expect(failed).rejects.toThrow(/^Cannot tell whether .* loses a volume's last word after 30 s$/);
  });
}

test("copy() does not believe a target of 6.0 that has lost its source within 30 s", async () => {
  const pair = await openFakePair({ source: { generation: "6.0" }, target: { generation: "6.0" } });
  const unit = pair.source.addVolume({ name: "data", content: "live", snapshots: SNAPSHOTS });
  pair.target.faults.add({ match: { method: "POST", path: /volumes\/custom$/ }, what: LATE });
  const failed = pair.copy(copyOfVolume(unit, { mode: "push", sends: ["s1", "s2"] }));
  await expect(failed).rejects.toMatchObject({ code: "incus.operation-failed" });
});

test("copy() in relay mode tells how many bytes passed", async () => {
  const pair = await openFakePair({ source: { driver: "dir" }, target: { driver: "dir" } });
  const content = "x".repeat(3_000_000);
  const unit = pair.source.addVolume({ name: "data", content });
  const { bytes } = await pair.copy(copyOfVolume(unit, { mode: "relay" }));
  expect(bytes).toBeGreaterThanOrEqual(content.length);
  expect(bytes).toBeLessThan(content.length + 10_000);
});

test("copy() in relay mode keeps to the rate, and tells its progress meanwhile", async () => {
  const pair = await openFakePair({
    source: { driver: "dir" },
    target: { driver: "dir" },
    bytesPerSecond: () => 2_000_000,
  });
  const unit = pair.source.addVolume({ name: "data", content: "x".repeat(3_000_000) });
  const startedAt = performance.now();
  await pair.copy(copyOfVolume(unit, { mode: "relay" }));
  expect(performance.now() - startedAt).toBeGreaterThan(1000);
  expect(pair.progress.length).toBeGreaterThan(0);
  const told = pair.progress.map(({ bytes }) => bytes);
  expect(told).toEqual([...told].sort((a, b) => a - b));
});

test("copy() in relay mode keeps to the copy's own rate too", async () => {
  const pair = await openFakePair({ source: { driver: "dir" }, target: { driver: "dir" } });
  const unit = pair.source.addVolume({ name: "data", content: "x".repeat(1_500_000) });
  const startedAt = performance.now();
  await pair.copy(copyOfVolume(unit, { mode: "relay", bytesPerSecond: 1_500_000 }));
  expect(performance.now() - startedAt).toBeGreaterThan(700);
});

const CUTS = [0, 1, 40, 400, 4000, 40_000];

for (const side of ["source", "target"] as const) {
  for (const channel of ["control", "fs"] as const) {
    test(`copy() in relay mode fails when the ${side} loses ${channel}, loses nothing, and heals`, async () => {
      const pair = await openFakePair({ source: { driver: "zfs" }, target: { driver: "zfs" } });
      const unit = pair.source.addInstance({ name: "web1", content: "live", snapshots: SNAPSHOTS });
      const copy = copyOfInstance(unit, { mode: "relay" });
      await pair.copy(copy);
      pair.source.setContent(unit, "y".repeat(100_000));
      pair.source.takeSnapshot(unit, "s3");
      const path = side === "source" ? /web1$/ : /instances$/;
      let failures = 0;
      for (const afterBytes of CUTS) {
        pair[side].faults.clear();
        pair[side].faults.add({
          match: { method: "POST", path },
          what: { kind: "migration-cut", channel, afterBytes },
        });
        const ended = await pair.copy(copy).then(
          () => "done",
          (error) => error.code,
        );
        if (ended !== "done") failures += 1;
        expect(["done", "incus.operation-failed"]).toContain(ended);
        expect(pair.target.snapshots(unit)).toEqual(expect.arrayContaining(["s1", "s2"]));
      }
      expect(failures).toBeGreaterThan(0);
      pair[side].faults.clear();
      await pair.copy(copy);
      expectEqual(pair, unit);
    });
  }
}

for (const driver of ["dir", "zfs"] as const) {
  test(`copy() in relay mode on ${driver} tells of how much, where the servers agreed on that`, async () => {
    const pair = await openFakePair({ source: { driver }, target: { driver }, bytesPerSecond: () => 2_000_000 });
    const content = "x".repeat(2_000_000);
    const unit = pair.source.addVolume({ name: "data", content, contentType: "block", snapshots: SNAPSHOTS });
    const create = { contentType: "block", description: "", config: {} } as const;
    await pair.copy(copyOfVolume(unit, { mode: "relay", create }));
    expect(pair.progress.at(-1)?.totalBytes).toBe(driver === "dir" ? 6_000_000 : undefined);
  });
}
