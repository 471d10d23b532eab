import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { workloadLockName } from "../../src/cli/workload-locks.ts";
import type { MaintenanceWindow } from "../../src/model/offsite.ts";
import type { Clock } from "../../src/model/ports.ts";
import { DAY_MS, HOUR_MS } from "../../src/model/time.ts";
import { type FakeKopia, fakeKopia } from "../fakes/kopia/fake-kopia.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { type MemoryReader, memoryReader } from "../fakes/reader/memory-reader.ts";
import { type MemoryWorld, memoryWorld } from "../fakes/world/memory-world.ts";
import { iab, memoryHost } from "./iab.ts";
import { CONFIG, data, db, web } from "./stage.ts";

const PLACE = { read: "export", host: "source", root: undefined } as const;
const NOON = Date.UTC(2026, 10, 20, 12);
const NIGHTS = [{ start_hour: 22, start_minute: 0, end_hour: 6, end_minute: 0 }];

let world: MemoryWorld;
let both: ReturnType<typeof memoryServers>;
let reader: MemoryReader;
let kopia: FakeKopia;

beforeEach(() => {
  world = memoryWorld({ now: NOON });
  both = memoryServers(world.clock);
  both.source.add(data);
  both.source.add(web, { status: "Running" });
  both.source.add(db);
  reader = memoryReader(PLACE, {
    "default/web1": { export: "the web" },
    "default/db1": { export: "the db" },
    "default/local/data": { export: "the data" },
  });
  kopia = fakeKopia(() => world.clock.now());
});

type Options = {
  readonly offsite?: object;
  readonly windows?: () => Promise<{ windows: MaintenanceWindow[]; zone: string; pending: string | undefined }>;
  readonly clock?: Clock;
};

function offsite(words: readonly string[], { offsite: more = {}, windows, clock = world.clock }: Options = {}) {
  const backend = { type: "filesystem", filesystem: { path: "/backup" } };
  const part = { repository_password: "planted-secret", backend, hostname: "host1", username: "iab", ...more };
  world.texts.set("./config.json", JSON.stringify({ ...CONFIG, offsite: { cache: { directory: "/c" }, ...part } }));
  const host = () => {
    const plain = memoryHost(both, "source");
    return { ...plain, reader: () => reader, windows: windows ?? plain.windows };
  };
  return iab(["offsite", ...words], { ...world, clock, processes: kopia }, both, host);
}

function created(): string[] {
  return kopia.backups.map(({ source }) => source.path);
}

test("iab offsite run backs up everything, and reports each workload", async () => {
  const { exitCode, stdout, stderr } = await offsite(["run", "-f", "json"]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(created()).toEqual([
    "/incus/prod/default/instances/db1/export",
    "/incus/prod/default/instances/db1/config",
    "/incus/prod/default/volumes/local/data/export",
    "/incus/prod/default/volumes/local/data/config",
    "/incus/prod/default/instances/web1/export",
    "/incus/prod/default/instances/web1/config",
  ]);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ version: 1, exitCode: 0, ended: null, owner: "iab@host1", skipped: [], warnings: [] });
  expect(report.totals).toMatchObject({ workloads: 3, backups: 6, removed: 0 });
  expect(report.outcomes.map(({ id, state }: { id: string; state: string }) => `${id} ${state}`)).toEqual([
    "sweep:export done",
    "hold:export done",
    "back-up:default/db1 done",
    "back-up:default/local/data done",
    "back-up:default/web1 done",
    "release:export done",
    "retention done",
    "maintenance done",
  ]);
});

test("iab offsite run tells people what was done", async () => {
  const { stdout } = await offsite(["run"]);
  expect(stdout).toContain("Offsite run offsite-20261120-120000-");
  expect(stdout).toMatch(/\| local\/data +\| export +\| DONE +\| export, config \|/);
  expect(stdout).toContain("3 workloads backed up");
});

test("iab offsite run stops a running instance that replication stops, for the moment of the reading", async () => {
  await offsite(["run"]);
  expect(both.calls).toContain("source stop default/web1");
  expect(both.source.get(web)).toMatchObject({ status: "Running", config: {} });
});

test("iab offsite run --dryRun changes nothing and opens no repository, even outside the windows", async () => {
  const { exitCode, stdout } = await offsite(["run", "--dryRun"], { offsite: { maintenance_windows: NIGHTS } });
  expect(exitCode).toBe(0);
  expect(stdout).toContain("/incus/prod/default/instances/web1");
  expect([kopia.calls, reader.calls]).toEqual([[], []]);
  expect(both.calls.filter((call) => /snapshot|stop|patch/i.test(call))).toEqual([]);
});

test("iab offsite run --dryRun -f json has the documented shape", async () => {
  const { stdout } = await offsite(["run", "--dryRun", "-f", "json"]);
  const plan = JSON.parse(stdout);
  expect(plan).toMatchObject({ version: 1, owner: "iab@host1", at: "2026-11-20T12:00:00Z" });
  expect(plan.steps).toContainEqual({
    id: "back-up:default/web1",
    kind: "back-up",
    workload: "default/web1",
    needs: ["hold:export"],
    read: "export",
    side: "source",
    type: "container",
    path: "/incus/prod/default/instances/web1",
  });
});

test("iab offsite run web1 backs up that one only, and does not tidy up", async () => {
  expect((await offsite(["run", "web1"])).exitCode).toBe(0);
  expect(created()).toHaveLength(2);
  expect(kopia.calls.filter((call) => call.startsWith("maintenance"))).toEqual([]);
});

test("iab offsite run of a name that nothing bears is a wrong usage", async () => {
  expect(await offsite(["run", "app"])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("Cannot find app"),
  });
});

describe("iab offsite run ends with", () => {
  test("3 where one workload failed, and the others are there", async () => {
    reader.contents.delete("default/web1");
    const { exitCode, stdout } = await offsite(["run"]);
    expect(exitCode).toBe(3);
    expect(stdout).toContain("back up web1: Cannot read default/web1");
    expect(created()).toHaveLength(4);
  });

  test("3 where something is named that is not there", async () => {
    const sources = [{ read: "export", instances: ["web1", "web9"] }];
    const { exitCode, stdout } = await offsite(["run"], { offsite: { sources } });
    expect([exitCode, created().length]).toEqual([3, 2]);
    expect(stdout).toContain("web9: there is no such instance on prod");
  });

  test("6 where the repository does not open, with nothing touched", async () => {
    kopia.failing.set("repository status", "invalid repository password");
    const { exitCode, stderr } = await offsite(["run"]);
    expect(exitCode).toBe(6);
    expect(stderr).toContain("another password");
    expect(reader.calls).toEqual([]);
  });

  test("6 where the storage goes away, and leaves nothing held", async () => {
    kopia.failing.set("snapshot create", "dial tcp: connect: connection refused");
    const { exitCode, stdout } = await offsite(["run"]);
    expect(exitCode).toBe(6);
    expect(kopia.calls.filter((call) => call.startsWith("snapshot create"))).toHaveLength(1);
    expect(stdout).toContain("since back-up:default/db1 was not done");
    expect([...reader.held]).toEqual([]);
  });

  test("7 where there are warnings and --strict asks for it", async () => {
    const sources = [{ read: "export", instances: ["web1", "app*"] }];
    expect((await offsite(["run"], { offsite: { sources } })).exitCode).toBe(0);
    expect((await offsite(["run", "--strict"], { offsite: { sources } })).exitCode).toBe(7);
  });

  test("11 where another run of the same owner is at work", async () => {
    const lock = await world.locks.take("offsite run of iab@host1", () => "");
    expect((await offsite(["run"])).exitCode).toBe(11);
    await lock.release();
    expect(kopia.calls).toEqual([]);
  });

  test("0 where it is switched off, and says so", async () => {
    expect((await offsite(["run"], { offsite: { enabled: false } })).exitCode).toBe(0);
    expect(world.logged.map(({ event }) => event)).toEqual(["offsite.disabled"]);
    expect(kopia.calls).toEqual([]);
  });

  test("75 outside the windows, with nothing touched", async () => {
    const { exitCode, stderr } = await offsite(["run"], {
      offsite: { maintenance_windows: NIGHTS, time_zone: "UTC" },
    });
    expect(exitCode).toBe(75);
    expect(stderr).toContain("the next one opens at 2026-11-20T22:00:00Z");
    expect([both.calls, kopia.calls, reader.calls]).toEqual([[], [], []]);
  });

  test("0 outside the windows where they are to be ignored", async () => {
    const options = { offsite: { maintenance_windows: NIGHTS, time_zone: "UTC" } };
    expect((await offsite(["run", "--ignore-windows"], options)).exitCode).toBe(0);
  });

  test("5 where the host's windows cannot be read, which never means always", async () => {
    const { exitCode, stderr } = await offsite(["run"], { offsite: { maintenance_windows: "incusos" } });
    expect(exitCode).toBe(5);
    expect(stderr).toContain("does not run IncusOS");
    expect([kopia.calls, reader.calls]).toEqual([[], []]);
  });

  test("75 by the windows that are given for that case", async () => {
    const given = { maintenance_windows: "incusos", fallback_windows: NIGHTS, time_zone: "UTC" };
    const { exitCode, stderr } = await offsite(["run"], { offsite: given });
    expect(exitCode).toBe(75);
    expect(stderr).toContain("the next one opens at 2026-11-20T22:00:00Z");
    expect(world.logged.map(({ event }) => event)).toEqual(["window.unreadable"]);
  });

  test("0 with a warning where the host is about to start anew", async () => {
    const { exitCode, stdout } = await offsite(["run"], {
      offsite: { maintenance_windows: "incusos" },
      windows: async () => ({ windows: [], zone: "UTC", pending: "it needs a reboot" }),
    });
    expect(exitCode).toBe(0);
    expect(stdout).toContain("it needs a reboot (update.pending)");
    expect(world.logged.map(({ event }) => event).at(0)).toBe("update.pending");
  });
});

/** The record of a whole backup, as Kopia lists it. */
function backupOf(workload: string, at: number): FakeKopia["backups"][number] {
  const time = new Date(at).toISOString();
  return {
    id: "0".repeat(32),
    source: { host: "host1", userName: "iab", path: "/config" },
    ...{ description: "", startTime: time, endTime: time, content: "" },
    tags: { "tag:workload": workload, "tag:host": "prod", "tag:role": "config" },
    rootEntry: { obj: "k1", summ: { size: 1, files: 1, numFailed: 0 } },
  };
}

/** A clock that stands until it strikes, and is an hour on then. */
function strikingClock(start: number): Clock & { strike(): void } {
  const struck = new AbortController();
  return {
    strike: () => struck.abort(),
    now: () => (struck.signal.aborted ? start + HOUR_MS : start),
    sleep: async (_durationMs, signal) => {
      if (!struck.signal.aborted) await once(struck.signal, "abort", { signal });
    },
  };
}

describe("iab offsite run whose window closes meanwhile", () => {
  const windows = [{ start_hour: 11, start_minute: 0, end_hour: 12, end_minute: 1 }];
  const part = { maintenance_windows: windows, time_zone: "UTC" };
  let clock: ReturnType<typeof strikingClock>;
  beforeEach(() => {
    clock = strikingClock(NOON);
    reader.chunks = async function* (text, id, signal) {
      yield new TextEncoder().encode(text);
      if (id !== "default/web1") return;
      clock.strike();
      await setTimeout(300, undefined, { signal });
    };
  });

  test("ends in order with 75, and keeps what is there", async () => {
    const { exitCode, stdout } = await offsite(["run"], { offsite: part, clock });
    expect(exitCode).toBe(75);
    expect(stdout).toContain("back up web1: the maintenance window closed before; the next run goes on");
    expect(kopia.backups.filter(({ incomplete }) => incomplete === undefined)).toHaveLength(4);
    expect(kopia.backups.at(-1)).toMatchObject({ incomplete: "canceled", content: "the web" });
    expect([...reader.held, ...reader.open]).toEqual([]);
    expect(await world.locks.ask("offsite run of iab@host1")).toBeUndefined();
  });

  test("is no failure for Healthchecks, unless a workload is not reached for more than a week", async () => {
    const pings: (string | undefined)[] = [];
    const service = createServer((request, response) => {
      pings.push(request.url?.replace(/\?.*/, ""));
      response.end();
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void service.close());
    await once(service, "listening");
    const address = service.address();
    const port = typeof address === "object" ? address?.port : 0;
    const told = { ...part, healthchecks_url: `http://127.0.0.1:${port}/check` };
    const first = await offsite(["run", "-f", "json"], { offsite: told, clock });
    expect([first.exitCode, JSON.parse(first.stdout).overdue]).toEqual([75, []]);
    kopia.backups.splice(0, kopia.backups.length, backupOf("default/web1", NOON - 8 * DAY_MS));
    clock = strikingClock(NOON);
    const second = await offsite(["run", "-f", "json"], { offsite: told, clock });
    expect([second.exitCode, JSON.parse(second.stdout).overdue]).toEqual([75, ["default/web1"]]);
    expect(pings).toEqual(["/check/start", "/check/0", "/check/start", "/check/3"]);
  });

  test("ends with 3 where something failed before, which is to be heard of", async () => {
    reader.contents.delete("default/db1");
    const { exitCode, stdout } = await offsite(["run", "-f", "json"], { offsite: part, clock });
    expect([exitCode, JSON.parse(stdout).ended]).toEqual([3, "window"]);
  });

  test("goes on to its end where it is told to", async () => {
    const options = { offsite: { ...part, window_end: "finish" }, clock };
    expect((await offsite(["run"], options)).exitCode).toBe(0);
  });
});

test("iab offsite run that a signal ends gives up what it held, and ends with 143", async () => {
  reader.chunks = async function* (text, _id, signal) {
    world.interrupt("SIGTERM");
    yield new TextEncoder().encode(text);
    signal.throwIfAborted();
  };
  const { exitCode, stdout } = await offsite(["run"]);
  expect(exitCode).toBe(143);
  expect(stdout).toContain("the run was ended before");
  expect([...reader.held]).toEqual([]);
});

test("iab offsite status sees from another process how far a run is", async () => {
  const seen: { in_progress: boolean; progress: number }[] = [];
  reader.chunks = async function* (text) {
    seen.push(JSON.parse((await offsite(["status", "-f", "json"])).stdout));
    yield new TextEncoder().encode(text);
  };
  await offsite(["run"]);
  expect(seen.map(({ in_progress, progress }) => [in_progress, progress])).toEqual([
    [true, 0],
    [true, 33],
    [true, 66],
  ]);
  const after = JSON.parse((await offsite(["status", "-f", "json"])).stdout);
  expect(after).toMatchObject({ repository_connected: true, in_progress: false, progress: 0, last_status: "success" });
});

describe("a replication run and an offsite run", () => {
  test("are not at one workload at once: the run leaves it out, with what needs it", async () => {
    const lock = await world.locks.take(workloadLockName("https://192.0.2.10:8443", data), () => "");
    const { exitCode, stdout } = await offsite([]).then(() => iab(["run", "-f", "json"], world, both));
    await lock.release();
    const { outcomes, skipped } = JSON.parse(stdout);
    expect(exitCode).toBe(3);
    expect(skipped.map(({ workload }: { workload: string }) => workload)).toContain("default/local/data");
    expect(outcomes.map(({ workload }: { workload: string }) => workload)).toContain("default/db1");
    expect(outcomes.map(({ workload }: { workload: string }) => workload)).not.toContain("default/local/data");
    expect(both.target.units.has("default/db1")).toBe(true);
  });

  test("overlap otherwise: the locks of a run are gone with it", async () => {
    expect((await iab(["run"], memoryWorldWithConfig(), both)).exitCode).toBe(0);
    expect((await offsite(["run"])).exitCode).toBe(0);
  });

  function memoryWorldWithConfig() {
    world.texts.set("./config.json", JSON.stringify(CONFIG));
    return world;
  }
});

test("iab offsite run tells no secret in its words to Kopia, its log or its report", async () => {
  const { stdout, stderr } = await offsite(["run", "--log-level", "debug"]);
  const said = [stdout, stderr, ...kopia.calls, JSON.stringify(world.logged)].join("\n");
  expect(said).not.toContain("planted-secret");
});

test("iab offsite run does not begin while a backup is to be restored that is not there, and keeps the wish", async () => {
  const { exitCode, stderr } = await offsite(["run"], { offsite: { restore_snapshot_id: "ffff" } });
  expect(exitCode).toBe(6);
  expect(stderr).toContain("Cannot find backup ffff");
  expect(world.texts.get("./config.json")).toContain('"restore_snapshot_id":"ffff"');
  expect(reader.calls).toEqual([]);
});

test("iab offsite run of some workloads restores nothing, and --dryRun says what a whole run would", async () => {
  const options = { offsite: { restore_snapshot_id: "ffff" } };
  expect((await offsite(["run", "web1"], options)).exitCode).toBe(0);
  const { exitCode, stdout } = await offsite(["run", "--dryRun"], options);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("First backup ffff is restored in the place of what is there (restore.asked)");
});
