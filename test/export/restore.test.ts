import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { backupContent } from "../../src/export/backup-content.ts";
import { drill } from "../../src/export/drill.ts";
import { makeUnit } from "../../src/export/make-unit.ts";
import { putInPlace } from "../../src/export/put-in-place.ts";
import { restoredRecord } from "../../src/export/restored-record.ts";
import { stableExport } from "../../src/export/stable-export.ts";
import type { IncusServer } from "../../src/incus/server.ts";
import type { Backup } from "../../src/model/archive.ts";
import type { UnitRecord } from "../../src/model/export.ts";
import type { InstanceUnit, Unit } from "../../src/model/unit.ts";
import { systemClock } from "../../src/system/clock.ts";
import { openAs } from "../contract/agent.ts";
import { type MemoryArchive, memoryArchive } from "../fakes/archive/memory-archive.ts";
import { makeCertificate } from "../fakes/incus/certificate.ts";
import type { Fault } from "../fakes/incus/faults.ts";
import { type FakeIncus, startFakeIncus } from "../fakes/incus/start-fake-incus.ts";
import { gather, inParts, tarOf } from "../tar/tars.ts";

const POOL = { name: "local", driver: "btrfs" };
const instanceWords = {
  name: "web1",
  project: "default",
  type: "container",
  architecture: "x86_64",
  description: "",
  profiles: ["default"],
  config: {},
  devices: { root: { type: "disk", path: "/", pool: "local" } },
};

async function open(): Promise<{ fake: FakeIncus; server: IncusServer }> {
  const fake = await startFakeIncus({ generation: "7.0", pools: { local: "btrfs" } });
  const client = makeCertificate();
  fake.trust(client.certificate);
  const server = openAs("prod", fake, client);
  onTestFinished(async () => {
    await server.close();
    await fake.close();
  });
  return { fake, server };
}

/** An archive with the parts of one run of a workload, and the record of the run. */
async function archived(
  parts: readonly { role: string; name: string; bytes: Buffer }[],
  record: object,
  signal: AbortSignal,
) {
  const archive = memoryArchive(systemClock);
  const tags = { run: "offsite-1", workload: "default/web1", host: "prod" };
  const stored: object[] = [];
  for (const { role, name, bytes } of parts) {
    const what = { path: `/incus/${name}`, description: "", tags: { ...tags, role, part: name } };
    const made = await archive.backUpStream(
      { name, bytes: inParts(Buffer.from(bytes.toString("latin1"))) },
      what,
      signal,
    );
    stored.push({ role, name, backup: made.id });
  }
  const text = JSON.stringify({ version: 1, pool: POOL, parts: stored, ...record });
  const what = { path: "/incus/config", description: "", tags: { ...tags, role: "config", part: "config" } };
  await archive.backUpStream({ name: "instance.json", bytes: inParts(Buffer.from(text)) }, what, signal);
  const sized = archive.backups.map((backup, index) => ({
    ...backup,
    sizeBytes: parts[index]?.bytes.length ?? backup.sizeBytes,
  }));
  return { archive, backups: sized };
}

async function contentOf(archive: MemoryArchive, backups: readonly Backup[], signal: AbortSignal) {
  const [first] = backups;
  if (first === undefined) throw new Error("Nothing is archived");
  return backupContent(archive, backups, first, signal);
}

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "iab-restore-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("backupContent() makes files that were read from the storage a tar that Incus imports", async ({ signal }) => {
  const files = tarOf([
    { path: "backup.yaml", content: Buffer.from("old: true\n") },
    { path: "rootfs", type: "5", mode: 0o755 },
    { path: "rootfs/etc/hostname", content: Buffer.from("web1\n"), mode: 0o640 },
    { path: `rootfs/${"long/".repeat(30)}file`, content: Buffer.from("deep\n") },
  ]);
  const record = { kind: "instance", instance: instanceWords };
  const { archive, backups } = await archived([{ role: "files", name: "files", bytes: files }], record, signal);
  const content = await contentOf(archive, backups, signal);
  const tar = await gather(content.file(content.record, signal));
  const folder = scratch();
  writeFileSync(join(folder, "x.tar"), tar);
  execFileSync("tar", ["xf", "x.tar"], { cwd: folder });
  const place = join(folder, "backup/container");
  expect(readFileSync(join(place, "rootfs/etc/hostname"), "utf8")).toBe("web1\n");
  expect(statSync(join(place, "rootfs/etc/hostname")).mode & 0o777).toBe(0o640);
  expect(readFileSync(join(place, `rootfs/${"long/".repeat(30)}file`), "utf8")).toBe("deep\n");
  expect(JSON.parse(readFileSync(join(place, "backup.yaml"), "utf8"))).toMatchObject({ container: { name: "web1" } });
  const index = JSON.parse(readFileSync(join(folder, "backup/index.yaml"), "utf8"));
  expect(index).toMatchObject({ name: "web1", type: "container", pool: "local", optimized: false });
});

test("a disk and the files beside it become a virtual machine's export", async ({ signal }) => {
  const parts = [
    { role: "block", name: "disk", bytes: Buffer.alloc(5000, "d") },
    { role: "files", name: "files", bytes: tarOf([{ path: "qemu.nvram", content: Buffer.from("n") }]) },
  ];
  const record = { kind: "instance", instance: { ...instanceWords, type: "virtual-machine" } };
  const { archive, backups } = await archived(parts, record, signal);
  const content = await contentOf(archive, backups, signal);
  const folder = scratch();
  writeFileSync(join(folder, "x.tar"), await gather(content.file(content.record, signal)));
  const listed = execFileSync("tar", ["tf", "x.tar"], { cwd: folder, encoding: "utf8" }).trim().split("\n");
  expect(listed).toEqual([
    "backup/index.yaml",
    "backup/virtual-machine",
    "backup/virtual-machine/backup.yaml",
    "backup/virtual-machine/qemu.nvram",
    "backup/virtual-machine.img",
  ]);
});

test("a disk that has not its size is no whole workload", async ({ signal }) => {
  const record = { kind: "volume", volume: { name: "data", content_type: "block", config: {} } };
  const { archive, backups } = await archived(
    [{ role: "block", name: "disk", bytes: Buffer.alloc(5000, "d") }],
    record,
    signal,
  );
  const [disk] = backups;
  archive.contents.set(disk?.id ?? "", "d".repeat(4999));
  const content = await contentOf(archive, backups, signal);
  await expect(gather(content.file(content.record, signal))).rejects.toThrow(/has not the 5000 bytes/);
});

test("backupContent() of a run that left no record, or lost a part, says so", async ({ signal }) => {
  const record = { kind: "instance", instance: instanceWords };
  const { archive, backups } = await archived([{ role: "files", name: "files", bytes: tarOf([]) }], record, signal);
  await expect(contentOf(archive, backups.slice(0, 1), signal)).rejects.toMatchObject({ code: "kopia.incomplete" });
  await expect(contentOf(archive, backups.slice(1), signal)).rejects.toMatchObject({ code: "kopia.incomplete" });
});

const unit: InstanceUnit = { kind: "instance", project: "default", name: "web2" };

async function fileOf(server: IncusServer, of: Unit, name: string, mark: string, signal: AbortSignal) {
  const bytes: Uint8Array[] = [];
  for await (const part of server.exportFile(of, { name: "x", expiresAt: Date.now() + 60_000 }, signal))
    bytes.push(part);
  const record = (await server.recordOf(of, signal)) as UnitRecord;
  const wish = { unit: { ...of, name }, pool: POOL, as: "copy", without: [], mark } as const;
  const { record: restored } = restoredRecord(record, wish);
  const tar = Buffer.concat(bytes);
  const file = (wanted: UnitRecord = restored) => stableExport(inParts(tar, [4096]), wanted, "the backup");
  return { restored, file };
}

test("makeUnit() makes what was exported, and takes its mark away when it is whole", async ({ signal }) => {
  const { fake, server } = await open();
  const source = fake.addInstance({ name: "web1", content: "hello", config: { "user.note": "kept" } });
  const { file } = await fileOf(server, source, "web2", "m1", signal);
  await makeUnit(
    { server, clock: systemClock, onProgress: () => {} },
    { unit, pool: "local", mark: "m1", whole: "", file: () => file() },
    signal,
  );
  expect(fake.digest(unit)).toBe(fake.digest(source));
  const { config } = await server.describe(unit, signal);
  expect(config).toMatchObject({ "user.note": "kept", "boot.autostart": "false" });
  expect(Object.keys(config as object)).not.toContain("user.iab.restoring");
});

const failures: { name: string; fault: Fault }[] = [
  {
    name: "the import fails",
    fault: {
      match: { method: "POST", path: "/1.0/instances" },
      what: { kind: "operation-fails", error: "no space left on device" },
    },
  },
  {
    name: "the import is called a failure when it is there",
    fault: { match: { method: "POST", path: "/1.0/instances" }, what: { kind: "operation-fails-late", error: "lost" } },
  },
  {
    name: "the server is gone before it answers",
    fault: { match: { method: "POST", path: "/1.0/instances" }, what: { kind: "cut-after" } },
  },
  {
    name: "the mark cannot be taken away",
    fault: { match: { method: "PATCH" }, what: { kind: "refuse", status: 500, error: "busy" } },
  },
];

test.each(failures)("makeUnit() leaves nothing behind when $name", async ({ fault }) => {
  const signal = AbortSignal.timeout(15_000);
  const { fake, server } = await open();
  const source = fake.addInstance({ name: "web1", content: "hello" });
  const { file } = await fileOf(server, source, "web2", "m1", signal);
  fake.faults.add(fault);
  const making = makeUnit(
    { server, clock: systemClock, onProgress: () => {} },
    { unit, pool: "local", mark: "m1", whole: "", file: () => file() },
    signal,
  );
  await expect(making).rejects.toMatchObject({ code: expect.stringMatching(/^incus\./) });
  expect((await server.instances(signal)).map(({ name }) => name).sort()).toEqual(["web1"]);
});

test("makeUnit() removes what a server begins to make only after the import was given up", async ({ signal }) => {
  const { fake, server } = await open();
  let now = 0;
  const late = {
    now: () => now,
    sleep: async (milliseconds: number) => {
      now += milliseconds;
      if (now === 2000) fake.addInstance({ name: "web2", content: "late", config: { "user.iab.restoring": "m1" } });
    },
  };
  const importFile = () => Promise.reject(new Error("given up"));
  const making = makeUnit(
    { server: { ...server, importFile }, clock: { ...systemClock, ...late }, onProgress: () => {} },
    { unit, pool: "local", mark: "m1", whole: "", file: () => inParts(tarOf([])) },
    signal,
  );
  await expect(making).rejects.toThrow("given up");
  expect(now).toBe(2000);
  expect(await server.instances(signal)).toEqual([]);
});

test("makeUnit() never removes what somebody else has made meanwhile", async ({ signal }) => {
  const { fake, server } = await open();
  const source = fake.addInstance({ name: "web1", content: "hello" });
  const { file } = await fileOf(server, source, "web2", "m1", signal);
  fake.addInstance({ name: "web2", content: "somebody's own" });
  const making = makeUnit(
    { server, clock: systemClock, onProgress: () => {} },
    { unit, pool: "local", mark: "m1", whole: "", file: () => file() },
    signal,
  );
  await expect(making).rejects.toMatchObject({ code: "incus.operation-failed" });
  expect((await server.instances(signal)).map(({ name }) => name).sort()).toEqual(["web1", "web2"]);
});

/** A running instance, and a copy that is to take its place. */
async function pair(signal: AbortSignal) {
  const { fake, server } = await open();
  const nic = { type: "nic", network: "lan0" };
  const config = { "volatile.eth0.hwaddr": "10:66:6a:00:00:01", "boot.autostart": "true" };
  fake.addNetwork("lan0");
  const old = fake.addInstance({ name: "web1", content: "old", config, devices: { eth0: nic }, status: "Running" });
  const restored = fake.addInstance({ name: "restore-1", content: "restored", devices: { eth0: nic } });
  const record = (await server.recordOf(old, signal)) as UnitRecord;
  return { fake, server, exchange: { old, restored, aside: "web1-before-x", record } };
}

test("putInPlace() sets the old one aside, stopped and without network, and starts the restored one in its place", async ({
  signal,
}) => {
  const { fake, server, exchange } = await pair(signal);
  await putInPlace(server, exchange, signal);
  const [now, aside] = await Promise.all(
    ["web1", "web1-before-x"].map((name) => server.instance({ kind: "instance", project: "default", name }, signal)),
  );
  expect(now).toMatchObject({
    status: "Running",
    devices: { eth0: { type: "nic" } },
    config: { "volatile.eth0.hwaddr": "10:66:6a:00:00:01", "boot.autostart": "true" },
  });
  expect(aside).toMatchObject({
    status: "Stopped",
    devices: { eth0: { type: "none" } },
    config: { "boot.autostart": "false" },
  });
  expect(fake.digest(exchange.old)).not.toBe(fake.digest({ ...exchange.old, name: "web1-before-x" }));
  expect((await server.instances(signal)).map(({ name }) => name).sort()).toEqual(["web1", "web1-before-x"]);
});

const refusal = { kind: "refuse", status: 500, error: "no" } as const;
const steps: { name: string; fault: Fault }[] = [
  { name: "stopping the old one", fault: { match: { method: "PUT", path: /web1\/state$/ }, what: refusal } },
  { name: "renaming the old one", fault: { match: { method: "POST", path: "/1.0/instances/web1" }, what: refusal } },
  {
    name: "changing the old one",
    fault: { match: { method: "PATCH", path: "/1.0/instances/web1-before-x" }, what: refusal },
  },
  {
    name: "taking its network",
    fault: { match: { method: "PATCH", path: "/1.0/instances/web1-before-x" }, after: 1, what: refusal },
  },
  {
    name: "renaming the restored one",
    fault: { match: { method: "POST", path: "/1.0/instances/restore-1" }, what: refusal },
  },
  { name: "giving it the devices", fault: { match: { method: "PATCH", path: "/1.0/instances/web1" }, what: refusal } },
  {
    name: "giving it the identity",
    fault: { match: { method: "PATCH", path: "/1.0/instances/web1" }, after: 1, what: refusal },
  },
];

test.each(steps)("putInPlace() turns everything back when $name fails", async ({ fault }) => {
  const signal = AbortSignal.timeout(15_000);
  const { fake, server, exchange } = await pair(signal);
  const before = await server.instance(exchange.old, signal);
  const digest = fake.digest(exchange.old);
  fake.faults.add(fault);
  await expect(putInPlace(server, exchange, signal)).rejects.toMatchObject({ code: "incus.refused" });
  const after = await server.instance(exchange.old, signal);
  expect(after).toMatchObject({ status: "Running", devices: before?.devices ?? {} });
  expect(after?.config["boot.autostart"]).toBe("true");
  expect(after?.config).not.toHaveProperty("user.iab.dropped-devices");
  expect(fake.digest(exchange.old)).toBe(digest);
  expect((await server.instances(signal)).map(({ name }) => name).sort()).toEqual(["restore-1", "web1"]);
});

test("putInPlace() of a volume stops who uses it, and leads them to the new one", async ({ signal }) => {
  const { fake, server } = await open();
  const old = fake.addVolume({ name: "data", pool: "local", content: "old" });
  const restored = fake.addVolume({ name: "restore-1", pool: "local", content: "restored" });
  const disk = { type: "disk", pool: "local", source: "data", path: "/data" };
  const user = fake.addInstance({ name: "web1", devices: { disk }, status: "Running" });
  const record = (await server.recordOf(old, signal)) as UnitRecord;
  const digest = fake.digest(restored);
  await putInPlace(server, { old, restored, aside: "data-before-x", record }, signal);
  expect(await server.instance(user, signal)).toMatchObject({ status: "Running", devices: { disk } });
  expect(fake.digest(old)).toBe(digest);
  expect((await server.volumes(["local"], signal)).map(({ name }) => name).sort()).toEqual(["data", "data-before-x"]);
});

test("drill() makes a workload again, compares it and removes it, whatever comes of it", async ({ signal }) => {
  const { fake, server } = await open();
  const source = fake.addInstance({ name: "web1", content: "hello" });
  const { restored, file } = await fileOf(server, source, "web1", "m1", signal);
  const content = { record: restored, sizeBytes: 5, file };
  const order = { server, clock: systemClock, content, project: "default", pool: POOL, onProgress: () => {} };
  const marks: unknown[] = [];
  const exportFile: typeof server.exportFile = async function* (of, ...more) {
    marks.push((await server.config(of, signal))?.["user.iab.restoring"]);
    yield* server.exportFile(of, ...more);
  };
  expect(await drill({ ...order, server: { ...server, exportFile } }, signal)).toMatchObject({ entries: 1, bytes: 5 });
  // Until it goes it is told from a workload.
  expect(marks).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/)]);
  const { file: other } = await fileOf(
    server,
    fake.addInstance({ name: "web9", content: "HELLO" }),
    "web1",
    "m1",
    signal,
  );
  let isFirst = true;
  const twoFaced = (record: UnitRecord) => {
    const chosen = isFirst ? file : other;
    isFirst = false;
    return chosen(record);
  };
  await expect(drill({ ...order, content: { ...content, file: twoFaced } }, signal)).rejects.toMatchObject({
    code: "kopia.damaged",
  });
  expect((await server.instances(signal)).map(({ name }) => name).sort()).toEqual(["web1", "web9"]);
});
