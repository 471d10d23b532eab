import { expect, onTestFinished, test } from "vitest";
import { exportReader } from "../../src/export/export-reader.ts";
import type { IncusServer } from "../../src/incus/server.ts";
import type { ReadingRun, Subject } from "../../src/model/reading.ts";
import { systemClock } from "../../src/system/clock.ts";
import { openAs } from "../contract/agent.ts";
import { makeCertificate } from "../fakes/incus/certificate.ts";
import type { FaultKind } from "../fakes/incus/faults.ts";
import type { GenerationName } from "../fakes/incus/generation.ts";
import { type FakeIncus, startFakeIncus } from "../fakes/incus/start-fake-incus.ts";

const run: ReadingRun = { owner: "iab@host1", name: "offsite-20261120-040000-1f3c" };

async function open(generation: GenerationName): Promise<{ fake: FakeIncus; server: IncusServer }> {
  const fake = await startFakeIncus({ generation, pools: { local: "btrfs" } });
  const client = makeCertificate();
  fake.trust(client.certificate);
  const server = openAs("prod", fake, client);
  onTestFinished(async () => {
    await server.close();
    await fake.close();
  });
  return { fake, server };
}

/** Reads an instance as an offsite run does: held, opened, closed and released, whatever happens. */
async function read(server: IncusServer, signal: AbortSignal, passed: Uint8Array[] = []): Promise<Buffer> {
  const [workload] = (await server.instances(signal)).filter(({ name }) => name === "web1");
  if (workload === undefined) throw new Error("There is no web1");
  const subject: Subject = { kind: "workload", workload, pool: { name: "local", driver: "btrfs" } };
  const reading = await exportReader(server, systemClock).hold([subject], run, signal);
  try {
    const opened = await reading.open(subject, signal);
    try {
      const [part] = opened.parts;
      if (part?.kind !== "stream") throw new Error("An export is one stream");
      for await (const chunk of part.bytes(signal)) passed.push(chunk);
    } finally {
      await opened.close();
    }
  } finally {
    await reading.release();
  }
  return Buffer.concat(passed);
}

/** All that there is on the server beside the instance itself. */
function leftOn(fake: FakeIncus): unknown {
  const { units } = fake.state() as { units: Record<string, { snapshots?: object; backups?: unknown[] }> };
  return Object.entries(units).map(([name, { snapshots, backups }]) => ({ name, snapshots, backups }));
}

const content = "x".repeat(300_000);
const BACKUPS = /\/backups$/;
const broken: { name: string; generation: GenerationName; path: RegExp; what: FaultKind }[] = [
  {
    name: "a stream that ends early and well",
    generation: "7.0",
    path: BACKUPS,
    what: { kind: "stream-short", afterBytes: 100_352 },
  },
  {
    name: "a stream that lacks its last block",
    generation: "7.0",
    path: BACKUPS,
    what: { kind: "stream-short", afterBytes: 302_000 },
  },
  { name: "a stream that is cut", generation: "7.0", path: BACKUPS, what: { kind: "cut-during" } },
  {
    name: "a stream whose operation fails at the end",
    generation: "7.0",
    path: BACKUPS,
    what: { kind: "operation-fails-late", error: "tar: I/O error" },
  },
  {
    name: "a file that cannot be made",
    generation: "6.0",
    path: BACKUPS,
    what: { kind: "operation-fails", error: "no space left on device" },
  },
  { name: "a file that is cut while it is read", generation: "6.0", path: /\/export$/, what: { kind: "cut-during" } },
  {
    name: "a copy that cannot be made",
    generation: "7.0",
    path: /^\/1\.0\/instances$/,
    what: { kind: "operation-fails", error: "no space left on device" },
  },
  {
    name: "a copy that is made and called a failure",
    generation: "6.0",
    path: /^\/1\.0\/instances$/,
    what: { kind: "operation-fails-late", error: "lost" },
  },
  {
    name: "a snapshot that is taken and called a failure",
    generation: "7.0",
    path: /\/snapshots$/,
    what: { kind: "operation-fails-late", error: "lost" },
  },
];

test.each(broken)("exportReader() never passes $name on as whole, and leaves nothing behind", async (fault) => {
  const { fake, server } = await open(fault.generation);
  fake.addInstance({ name: "web1", content, status: "Running" });
  const before = leftOn(fake);
  fake.faults.add({
    match: { method: fault.path.source.includes("export") ? "GET" : "POST", path: fault.path },
    what: fault.what,
    // A GET that is cut is sent again.
    times: 10,
  });
  const passed: Uint8Array[] = [];
  const signal = AbortSignal.timeout(15_000);
  await expect(read(server, signal, passed)).rejects.toMatchObject({ code: expect.stringMatching(/^incus\./) });
  const end = Buffer.concat(passed).subarray(-1024);
  expect(end.length === 1024 && end.every((byte) => byte === 0)).toBe(false);
  expect(leftOn(fake)).toEqual(before);
});

test.each(["6.0", "7.0"] as const)(
  "exportReader() says what the server says of its failure, on %s",
  async (generation) => {
    const { fake, server } = await open(generation);
    fake.addInstance({ name: "web1", content });
    fake.faults.add({
      match: { method: "POST", path: BACKUPS },
      what: { kind: "operation-fails-late", error: "tar: I/O error" },
    });
    await expect(read(server, AbortSignal.timeout(15_000))).rejects.toMatchObject({
      code: "incus.operation-failed",
      message: expect.stringMatching(/^Cannot export web1 on prod: .*tar: I\/O error/),
    });
  },
);

test("exportReader() makes the same bytes however the server's own notes change", async () => {
  const signal = AbortSignal.timeout(15_000);
  const { fake, server } = await open("7.0");
  const config = { "volatile.uuid": "5f0c", "volatile.eth0.hwaddr": "10:66:6a:27:90:12", "user.note": "kept" };
  fake.addInstance({
    name: "web1",
    content,
    config: { ...config, "volatile.eth0.host_name": "mac1" },
    status: "Running",
  });
  const first = await read(server, signal);
  const unit = { kind: "instance", project: "default", name: "web1" } as const;
  await server.patchConfig(unit, { "volatile.eth0.host_name": "mac2", "user.iab.last": "x" }, signal);
  expect((await read(server, signal)).equals(first)).toBe(true);
  expect(first.toString("latin1")).toContain("10:66:6a:27:90:12");
  await server.patchConfig(unit, { "user.note": "changed" }, signal);
  expect((await read(server, signal)).equals(first)).toBe(false);
});

test("a copy for reading has no network, no profile, no schedule, and our mark", async () => {
  const signal = AbortSignal.timeout(15_000);
  const { fake, server } = await open("7.0");
  const config = { "snapshots.schedule": "@daily", "security.protection.delete": "true", "boot.autostart": "true" };
  const devices = { eth0: { type: "nic", nictype: "macvlan", parent: "br0" } };
  fake.addInstance({ name: "web1", content, config, devices, status: "Running" });
  const [workload] = await server.instances(signal);
  if (workload === undefined) throw new Error("There is no web1");
  const subject: Subject = { kind: "workload", workload, pool: { name: "local", driver: "btrfs" } };
  const reading = await exportReader(server, systemClock).hold([subject], run, signal);
  const opened = await reading.open(subject, signal);
  const copy = (await server.instances(signal)).find(({ name }) => name !== "web1");
  expect(copy).toMatchObject({ status: "Stopped", profiles: [], expandedDevices: { eth0: { type: "none" } } });
  expect(copy?.config).toMatchObject({ "user.iab.offsite": `${run.owner} ${run.name}`, "boot.autostart": "false" });
  expect(Object.keys(copy?.config ?? {})).not.toContain("snapshots.schedule");
  const [snapshot] = await server.snapshots(workload, signal);
  expect(snapshot?.expiresAt).toBeGreaterThan(Date.UTC(2026, 10, 27));
  await opened.close();
  await reading.release();
  expect((await server.instances(signal)).map(({ name }) => name)).toEqual(["web1"]);
});
