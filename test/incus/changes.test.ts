import { expect, onTestFinished, test } from "vitest";
import { openServer } from "../../src/incus/server.ts";
import { MINUTE_MS } from "../../src/model/time.ts";
import type { Unit } from "../../src/model/unit.ts";
import type { FaultKind } from "../fakes/incus/faults.ts";
import type { FakeIncusOptions } from "../fakes/incus/options.ts";
import { startFakeIncus } from "../fakes/incus/start-fake-incus.ts";
import { clientCertificate, credentialsOf, quickClock } from "./local-server.ts";

const GENERATIONS = ["6.0", "7.0"] as const;
const KINDS = ["instance", "volume"] as const;
const NAME = "IAB_20261120-040000";

async function open(options: FakeIncusOptions = {}) {
  const fake = await startFakeIncus({ trusted: [clientCertificate.certificate], ...options });
  const server = openServer({
    host: "prod",
    url: fake.url,
    credentials: credentialsOf(clientCertificate, fake.certificate),
    clock: quickClock(),
    operationTimeoutMs: MINUTE_MS,
    limits: { requestTimeoutMs: 1000 },
  });
  onTestFinished(async () => {
    await server.close();
    await fake.close();
  });
  const units = { instance: fake.addInstance({ name: "web" }), volume: fake.addVolume({ name: "data" }) };
  return { fake, server, units };
}

/** What becomes of a snapshot when this befalls the request for it. */
const faults: { name: string; what: FaultKind; times?: number; made: boolean; error?: object }[] = [
  {
    name: "cut before anything was done",
    what: { kind: "cut-before" },
    made: false,
    error: { code: "incus.unreachable" },
  },
  { name: "cut after all was done", what: { kind: "cut-after" }, made: true },
  { name: "cut in the middle of the answer", what: { kind: "cut-during" }, made: true },
  { name: "half an answer", what: { kind: "truncated-json" }, made: true },
  {
    name: "a proxy's page for an answer",
    what: { kind: "answer", status: 502, type: "text/html", body: "<p>" },
    made: true,
  },
  { name: "done and not answered", what: { kind: "silence" }, made: true },
  { name: "a server that is starting", what: { kind: "starting" }, times: 3, made: true },
  {
    name: "a refusal",
    what: { kind: "refuse", status: 500, error: "no" },
    made: false,
    error: { code: "incus.refused", status: 500 },
  },
  {
    name: "an operation that fails",
    what: { kind: "operation-fails", error: "no space left on device" },
    made: false,
    error: {
      code: "incus.operation-failed",
      message: expect.stringMatching(/^Cannot snapshot \w+(\/\w+)? as .* on prod: no space left/),
    },
  },
  {
    name: "an operation that is silent",
    what: { kind: "operation-silent" },
    made: false,
    error: { code: "incus.operation-failed", message: expect.stringContaining("has not moved for 60 s") },
  },
];
const faultCases = KINDS.flatMap((kind) => faults.map((fault) => ({ kind, ...fault })));

test.each(faultCases)("createSnapshot() of a $kind, $name", async ({ kind, what, times = 1, made, error }) => {
  const { signal } = new AbortController();
  const { fake, server, units } = await open();
  const unit: Unit = units[kind];
  fake.faults.add({ match: { method: "POST", path: /\/snapshots$/ }, what, times });
  const created = server.createSnapshot(unit, NAME, signal);
  if (error === undefined) await created;
  else await expect(created).rejects.toMatchObject(error);
  expect(fake.snapshots(unit)).toEqual(made ? [NAME] : []);
  const posts = fake.requests.filter(({ method }) => method === "POST");
  expect(posts).toHaveLength(what.kind === "starting" ? 1 + times : 1);
});

const generationsAndKinds = GENERATIONS.flatMap((generation) => KINDS.map((kind) => ({ generation, kind })));

test.each(generationsAndKinds)(
  "changes to a $kind on $generation are seen though every event is lost",
  async (given) => {
    const { signal } = new AbortController();
    const { fake, server, units } = await open({ generation: given.generation });
    const unit: Unit = units[given.kind];
    fake.faults.loseEvents(1000);
    await server.createSnapshot(unit, NAME, signal);
    await server.deleteSnapshot(unit, NAME, signal);
    expect(fake.snapshots(unit)).toEqual([]);
  },
);

test.each(generationsAndKinds)(
  "what was done to a $kind on $generation counts though the answer was cut",
  async (given) => {
    const { signal } = new AbortController();
    const { fake, server, units } = await open({ generation: given.generation });
    const unit: Unit = units[given.kind];
    fake.takeSnapshot(unit, NAME);
    const cut = (method: string) => fake.faults.add({ match: { method }, what: { kind: "cut-after" } });
    cut("DELETE");
    await server.deleteSnapshot(unit, NAME, signal);
    expect(fake.snapshots(unit)).toEqual([]);
    cut("PATCH");
    await server.patchConfig(unit, { "user.a": "1" }, signal);
    expect(fake.config(unit)).toMatchObject({ "user.a": "1" });
    cut("POST");
    await server.rename(unit, "other", signal);
    expect(fake.has({ ...unit, name: "other" })).toBe(true);
    cut("DELETE");
    await server.remove({ ...unit, name: "other" }, signal);
    expect(fake.has({ ...unit, name: "other" })).toBe(false);
  },
);

const busy = 'Failed to create instance delete operation: Instance is busy running a "create" operation';
const held: { name: string; what: FaultKind }[] = [
  { name: "refuses", what: { kind: "refuse", status: 500, error: busy } },
  { name: "fails", what: { kind: "operation-fails", error: busy } },
];
for (const { name, what } of held) {
  test(`deleteSnapshot() waits while the server ${name} it because of another operation, and not for ever`, async () => {
    const { signal } = new AbortController();
    const { fake, server, units } = await open();
    fake.takeSnapshot(units.instance, NAME);
    fake.faults.add({ match: { method: "DELETE" }, what, times: 3 });
    await server.deleteSnapshot(units.instance, NAME, signal);
    expect(fake.snapshots(units.instance)).toEqual([]);
    fake.takeSnapshot(units.instance, NAME);
    fake.faults.add({ match: { method: "DELETE" }, what, times: 100 });
    await expect(server.deleteSnapshot(units.instance, NAME, signal)).rejects.toThrow("is busy running");
    expect(fake.snapshots(units.instance)).toEqual([NAME]);
  });
}

test("patchConfig() reads again when somebody was faster, and gives up when that goes on", async ({ signal }) => {
  const { fake, server, units } = await open();
  const outdated = { kind: "refuse", status: 412, error: "Precondition Failed" } as const;
  fake.faults.add({ match: { method: "PATCH" }, what: outdated, times: 2 });
  await server.patchConfig(units.instance, { "user.a": "1" }, signal);
  expect(fake.config(units.instance)).toMatchObject({ "user.a": "1" });
  fake.faults.add({ match: { method: "PATCH" }, what: outdated, times: 100 });
  const patched = server.patchConfig(units.instance, { "user.a": "2" }, signal);
  await expect(patched).rejects.toMatchObject({ code: "incus.refused", status: 412 });
});

test.each(GENERATIONS)("patchConfig() on %s keeps the description", async (generation) => {
  const { signal } = new AbortController();
  const { fake, server } = await open({ generation });
  const units = [
    fake.addInstance({ name: "told", description: "mine" }),
    fake.addVolume({ name: "told", description: "mine" }),
  ];
  for (const unit of units) await server.patchConfig(unit, { "user.a": "1" }, signal);
  const [instance] = (await server.instances(signal)).filter(({ name }) => name === "told");
  const [volume] = (await server.volumes(["local"], signal)).filter(({ name }) => name === "told");
  expect([instance?.description, volume?.description]).toEqual(["mine", "mine"]);
});

test("changeState() stops hard only where it may, and only after the time", async ({ signal }) => {
  const { fake, server } = await open();
  const stubborn = fake.addInstance({ name: "stubborn", status: "Running", ignoresStop: true });
  const stop = (force: boolean) => server.changeState(stubborn, "stop", { timeoutMs: 1000, force }, signal);
  await expect(stop(false)).rejects.toMatchObject({ code: "incus.operation-failed" });
  expect(fake.status(stubborn)).toBe("Running");
  await stop(true);
  expect(fake.status(stubborn)).toBe("Stopped");
});

test("changeState() that was carried out counts though the answer was cut", async ({ signal }) => {
  const { fake, server, units } = await open();
  fake.faults.add({ match: { method: "PUT" }, what: { kind: "cut-after" } });
  await server.changeState(units.instance, "start", { timeoutMs: 1000, force: false }, signal);
  expect(fake.status(units.instance)).toBe("Running");
});

test("a change that is aborted ends at once", async () => {
  const abort = new AbortController();
  const { fake, server, units } = await open();
  fake.faults.add({ match: { method: "POST" }, what: { kind: "operation-silent" } });
  const created = server.createSnapshot(units.instance, NAME, abort.signal);
  await expect.poll(() => fake.requests.some(({ method }) => method === "POST")).toBe(true);
  abort.abort(new Error("SIGTERM"));
  await expect(created).rejects.toThrow("SIGTERM");
});

test("an instance that is listed blank is asked for by itself", async ({ signal }) => {
  const { fake, server } = await open();
  fake.takeSnapshot({ kind: "instance", project: "default", name: "web" }, NAME);
  const nothing = { config: null, devices: null, expanded_config: null, expanded_devices: null, profiles: null };
  const kind = { name: "web", project: "default", type: "container", created_at: "0001-01-01T00:00:00Z" };
  const blank = { ...kind, ...nothing, status: "Error", status_code: 112, location: "none" };
  const body = JSON.stringify({ type: "sync", status: "Success", status_code: 200, metadata: [blank] });
  const what = { kind: "answer", status: 200, type: "application/json", body } as const;
  fake.faults.add({ match: { method: "GET", path: /\/instances$/ }, what });
  const invalid = { kind: "refuse", status: 500, error: "Invalid PID -1" } as const;
  fake.faults.add({ match: { method: "GET", path: /\/instances\/web$/ }, what: invalid, times: 2 });
  const [web] = await server.instances(signal);
  expect(web).toMatchObject({ name: "web", status: "Stopped", snapshots: [{ name: NAME }] });
  expect(Object.keys(web?.expandedDevices ?? {})).not.toEqual([]);
});

test("a survey takes as many requests for 200 workloads as for two", async ({ signal }) => {
  const { fake, server } = await open({ pools: { local: "btrfs", tank: "zfs" } });
  const survey = async () => {
    const before = fake.requests.length;
    const pools = (await server.pools([], signal)).map(({ name }) => name);
    const counts = [(await server.instances(signal)).length, (await server.volumes(pools, signal)).length];
    return { counts, requests: fake.requests.length - before };
  };
  const small = await survey();
  for (let i = 0; i < 99; i += 1) {
    fake.addInstance({ name: `web${i}`, snapshots: ["s0", "s1"] });
    fake.addVolume({ name: `data${i}`, snapshots: ["s0", "s1"] });
  }
  const large = await survey();
  expect(large.counts).toEqual([100, 100]);
  // The first one also asked who the server is, and who we are to it.
  expect(small.requests).toBe(large.requests + 2);
});

test("pools() tells of ZFS which dataset a pool is, where the server says so", async ({ signal }) => {
  const { server } = await open({ pools: { local: "btrfs", tank: "zfs" } });
  expect(await server.pools([], signal)).toEqual([
    { name: "local", driver: "btrfs" },
    { name: "tank", driver: "zfs", dataset: "fake/tank" },
  ]);
});
