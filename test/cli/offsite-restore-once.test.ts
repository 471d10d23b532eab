import { beforeEach, expect, test } from "vitest";
import { workloadLockName } from "../../src/cli/workload-locks.ts";
import { askedMark } from "../../src/export/asked-restore.ts";
import { AgentError } from "../../src/model/errors.ts";
import type { InstanceUnit } from "../../src/model/unit.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Fault } from "../fakes/incus/faults.ts";
import type { MemoryWorld } from "../fakes/world/memory-world.ts";
import { CONFIG_PATH, FULL_POOL, type Stage, soon, stageOfRestore } from "./restore-stage.ts";

let stage: Stage;

beforeEach(async () => {
  stage = await stageOfRestore((id) => ({ restore_snapshot_id: id.slice(0, 8) }));
});

const run = (more?: Partial<MemoryWorld>) => stage.run(["offsite", "run"], more);
const wish = () => JSON.parse(stage.world.texts.get(CONFIG_PATH) ?? "{}").offsite.restore_snapshot_id;
const names = async () => (await stage.server.instances(soon())).map(({ name }) => name);
/** What is on the server, but for what was set aside. */
const others = async () => (await names()).filter((name) => !name.startsWith("web1-before-"));
const stop = () => stage.server.changeState(stage.web, "stop", { timeoutMs: 1000, force: false }, soon());

async function expectRestored(): Promise<void> {
  const { fake, web, digest } = stage;
  expect(fake.digest(web)).toBe(digest);
  expect(fake.status(web)).toBe("Running");
  expect(wish()).toBe("");
  expect(await others()).toEqual(["web1"]);
  expect(fake.config(web)).not.toHaveProperty("user.iab.restoring");
}

test("restore_snapshot_id: the backup takes the place of what is there, and then the key is empty", async () => {
  expect(await run()).toMatchObject({ exitCode: 0, stderr: "" });
  await expectRestored();
  const before = stage.fake.state();
  expect(await run()).toMatchObject({ exitCode: 0 });
  expect(stage.fake.state()).toEqual(before);
});

const IMPORT = { method: "POST", path: "/1.0/instances" };
const harmless: { name: string; faults: Fault[]; exitCode: number; says: RegExp }[] = [
  {
    name: "the pool has no room for it",
    faults: [FULL_POOL, FULL_POOL],
    exitCode: 5,
    says: /it takes 1 MiB, and the pool local has/,
  },
  {
    name: "the server cannot be reached",
    faults: [{ match: { path: "/1.0/storage-pools" }, what: { kind: "cut-before" }, times: 99 }],
    exitCode: 5,
    says: /Cannot/,
  },
  {
    name: "the server cannot make it",
    faults: [{ match: IMPORT, what: { kind: "operation-fails", error: "no space left on device" } }],
    exitCode: 5,
    says: /no space left on device/,
  },
];

test.each(harmless)("restore_snapshot_id stays, and nothing is touched, where $name", async (each) => {
  for (const fault of each.faults) {
    stage.fake.faults.add(fault);
    const { exitCode, stderr } = await run();
    expect(exitCode).toBe(each.exitCode);
    expect(stderr).toMatch(each.says);
    expect(stderr).toContain("offsite.restore_snapshot_id stays: nothing is backed up until");
    expect(wish()).toBe(stage.id.slice(0, 8));
    expect(await names()).toEqual(["web1"]);
    expect([stage.fake.status(stage.web), stage.fake.snapshots(stage.web)]).toEqual(["Running", []]);
  }
  stage.fake.faults.clear();
  expect(await run()).toMatchObject({ exitCode: 0 });
  await expectRestored();
});

test("restore_snapshot_id of a file that cannot be written is not obeyed", async () => {
  const writePrivate = () => Promise.reject(new AgentError("files.unusable", "Cannot write ./config.json: read-only"));
  const { exitCode, stderr } = await run({ files: { ...stage.world.files, writePrivate } });
  expect([exitCode, stderr]).toEqual([4, expect.stringContaining("read-only")]);
  expect(await names()).toEqual(["web1"]);
  expect(stage.fake.status(stage.web)).toBe("Running");
});

test("restore_snapshot_id is tried once only where it begins to take the place of what is there", async () => {
  const rename = { method: "POST", path: "/1.0/instances/web1" };
  stage.fake.faults.add({ match: rename, what: { kind: "refuse", status: 500, error: "not now" } });
  const { exitCode, stderr } = await run();
  expect(exitCode).toBe(5);
  expect(stderr).toContain("offsite.restore_snapshot_id is empty again");
  expect(wish()).toBe("");
  expect(await names()).toEqual(["web1"]);
  expect(stage.fake.status(stage.web)).toBe("Running");
  expect(stage.fake.digest(stage.web)).not.toBe(stage.digest);
});

test("restore_snapshot_id that asks for another one meanwhile is not emptied", async () => {
  const other = () => stage.world.texts.get(CONFIG_PATH)?.replace(stage.id.slice(0, 8), "ffff") ?? "";
  const begin = stage.world.log.info;
  const log = {
    ...stage.world.log,
    info: (event: string, facts = {}) => {
      if (event === "restore.ended") stage.world.texts.set(CONFIG_PATH, other());
      begin(event, facts);
    },
  };
  await run({ log });
  expect(stage.fake.digest(stage.web)).toBe(stage.digest);
  expect(wish()).toBe("ffff");
});

/** What a run leaves that is killed while it restores. */
const half = (how: "making" | "placing", running: InstanceUnit[] = []) =>
  stage.fake.addInstance({
    name: "restore-0123456789ab",
    content: "good",
    config: { "user.iab.restoring": askedMark(stage.id, how, running) },
  });

test("a run that died while it made the copy is followed by one that restores, and takes the half one away", async () => {
  half("making");
  stage.fake.addInstance({
    name: "restore-ffffffffffff",
    content: "by hand",
    config: { "user.iab.restoring": "4afeed0c" },
  });
  expect(await run()).toMatchObject({ exitCode: 0 });
  expect(await others()).toEqual(["restore-ffffffffffff", "web1"]);
  expect(stage.fake.digest(stage.web)).toBe(stage.digest);
});

test("a run that died while it stopped the old one is followed by one that restores, and what ran runs", async () => {
  half("placing", [stage.web]);
  await stop();
  expect(await run()).toMatchObject({ exitCode: 0 });
  await expectRestored();
});

test("a run that died between the two renames is told of at every run, and nothing is done", async () => {
  half("placing", [stage.web]);
  await stop();
  await stage.server.rename(stage.web, "web1-before-20261120-040000", soon());
  const before = stage.fake.state();
  for (const _attempt of ["first", "second"]) {
    const { exitCode, stderr } = await run();
    expect(exitCode).toBe(3);
    expect(stderr).toContain("Cannot tell how far web1 is restored: a run died while backup");
    expect(stderr).toContain("web1-before-…, which is what was there, and restore-0123456789ab, which was restored");
    expect(stage.fake.state()).toEqual(before);
    expect(wish()).toBe(stage.id.slice(0, 8));
  }
});

test("a run that died when all was done but the file is followed by one that restores nothing", async () => {
  await stage.server.patchConfig(stage.web, { "user.iab.restoring": askedMark(stage.id, "placed") }, soon());
  const digest = stage.fake.digest(stage.web);
  expect(await run()).toMatchObject({ exitCode: 0 });
  expect(stage.fake.digest(stage.web)).toBe(digest);
  expect(wish()).toBe("");
  expect(stage.fake.config(stage.web)).not.toHaveProperty("user.iab.restoring");
});

test("where nothing bears the name any more the backup becomes it again, once", async () => {
  await stop();
  await stage.server.remove(stage.web, soon());
  expect(await run()).toMatchObject({ exitCode: 0 });
  expect([stage.fake.digest(stage.web), wish(), await names()]).toEqual([stage.digest, "", ["web1"]]);
  expect(stage.fake.config(stage.web)).not.toHaveProperty("user.iab.restoring");
});

test("restore_snapshot_id waits for a replication run that has the workload, and then gives it up until the next run", async () => {
  const { fake, world, web } = stage;
  const clock = { ...systemClock, now: () => world.clock.now(), sleep: world.clock.sleep };
  const lock = await world.locks.take(workloadLockName(fake.url, web), () => "");
  const before = fake.state();
  const { exitCode, stderr } = await run({ clock });
  expect([exitCode, stderr]).toEqual([11, expect.stringContaining("offsite.restore_snapshot_id stays")]);
  expect(fake.state()).toEqual(before);
  await lock.release();
  expect(await run()).toMatchObject({ exitCode: 0 });
  await expectRestored();
});
