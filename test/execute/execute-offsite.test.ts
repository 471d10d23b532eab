import { beforeEach, describe, expect, test } from "vitest";
import { executeOffsite, type OffsiteTools } from "../../src/execute/execute-offsite.ts";
import { AgentError } from "../../src/model/errors.ts";
import type { OffsiteOutcome, OffsitePlan, OffsiteStep } from "../../src/model/offsite-plan.ts";
import type { Subject } from "../../src/model/reading.ts";
import type { InstanceUnit } from "../../src/model/unit.ts";
import { memoryArchive } from "../fakes/archive/memory-archive.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryReader } from "../fakes/reader/memory-reader.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { instance } from "../plan/fixtures.ts";

const PLACE = { read: "export", host: "source", root: undefined } as const;
const RUN = { owner: "iab@host1", name: "offsite-20261120-040000-1f3c" };
const web: InstanceUnit = { kind: "instance", project: "default", name: "web" };

function subjectOf(name: string): Subject {
  return { kind: "workload", workload: instance(name), pool: { name: "local", driver: "btrfs" } };
}

function backUp(name: string): OffsiteStep {
  const path = `/incus/prod/default/instances/${name}`;
  const tags = { workload: `default/${name}`, host: "prod", run: RUN.name };
  const common = { kind: "back-up", id: `back-up:default/${name}`, needs: ["hold:export"], place: PLACE } as const;
  return { ...common, subject: subjectOf(name), path, tags, description: `${name} on prod` };
}

function planOf(names: readonly string[], stop: readonly InstanceUnit[] = []): OffsitePlan {
  const steps: OffsiteStep[] = [
    { kind: "sweep", id: "sweep:export", needs: [], place: PLACE },
    { kind: "hold", id: "hold:export", needs: [], place: PLACE, subjects: names.map(subjectOf), stop },
    ...names.map(backUp),
    { kind: "release", id: "release:export", needs: ["hold:export"], place: PLACE },
    { kind: "retention", id: "retention", needs: [] },
    { kind: "maintenance", id: "maintenance", needs: [] },
  ];
  return { run: RUN, at: Date.UTC(2026, 10, 20, 4), steps, skipped: [], warnings: [] };
}

let world = memoryWorld();
let both = memoryServers(world.clock);
let archive = memoryArchive(world.clock);
let reader = memoryReader(PLACE);
let ending = new AbortController();

beforeEach(() => {
  world = memoryWorld();
  both = memoryServers(world.clock);
  archive = memoryArchive(world.clock);
  reader = memoryReader(PLACE, { "default/web": { export: "the web" }, "default/db": { disk: "a disk", files: "x" } });
  ending = new AbortController();
  both.source.add(web, { status: "Running", config: { "user.x": "1" } });
  both.source.add({ ...web, name: "db" });
});

async function run(plan: OffsitePlan) {
  const tools: OffsiteTools = {
    clock: world.clock,
    log: world.log,
    archive,
    reader: () => reader,
    server: (side) => both.servers[side],
    lock: (_place, unit) => world.locks.take(`workload ${unit.name}`, () => ""),
  };
  const seen: OffsiteOutcome[] = [];
  const observer = {
    began: () => {},
    progressed: () => {},
    ended: (_: unknown, outcome: OffsiteOutcome) => void seen.push(outcome),
  };
  const outcomes = await executeOffsite(plan, tools, observer, ending.signal);
  expect(seen).toHaveLength(plan.steps.length);
  expect([...outcomes.keys()].sort()).toEqual(plan.steps.map(({ id }) => id).sort());
  expect([...reader.held, ...reader.open]).toEqual([]);
  expect(await world.locks.ask("workload web")).toBeUndefined();
  return Object.fromEntries([...outcomes].map(([id, outcome]) => [id, outcome.state]));
}

test("executeOffsite() stores every part, and then the record that says that all of them are there", async () => {
  const states = await run(planOf(["web", "db"]));
  expect(new Set(Object.values(states))).toEqual(new Set(["done"]));
  expect(archive.calls).toEqual([
    "stream /incus/prod/default/instances/web/export",
    "stream /incus/prod/default/instances/web/config",
    "stream /incus/prod/default/instances/db/disk",
    "stream /incus/prod/default/instances/db/files",
    "stream /incus/prod/default/instances/db/config",
    "expire",
    "maintain",
  ]);
  const [first, record] = archive.backups;
  expect(archive.contents.get(first?.id ?? "")).toBe("the web");
  expect(first?.tags).toMatchObject({ workload: "default/web", part: "export", role: "export", snapshot: RUN.name });
  expect(record?.streamName).toBe("instance.json");
  expect(JSON.parse(archive.contents.get(record?.id ?? "") ?? "")).toMatchObject({
    version: 1,
    kind: "instance",
    workload: "default/web",
    host: "prod",
    run: RUN.name,
    read: "export",
    snapshot: RUN.name,
    parts: [{ name: "export", role: "export", form: "stream", backup: first?.id, sizeBytes: 7 }],
    instance: { name: "web", config: { "user.x": "1" } },
  });
});

describe("executeOffsite() does the other workloads no harm when", () => {
  test("one cannot be read", async () => {
    reader.contents.delete("default/web");
    const states = await run(planOf(["web", "db"]));
    expect(states).toMatchObject({
      "back-up:default/web": "failed",
      "back-up:default/db": "done",
      maintenance: "done",
    });
  });

  test("the stream of one breaks, of which nothing is kept", async () => {
    reader.chunks = async function* (text, id) {
      yield new TextEncoder().encode(text);
      if (id === "default/web") throw new AgentError("incus.bad-reply", "The export of web broke off");
    };
    const states = await run(planOf(["web", "db"]));
    expect(states).toMatchObject({ "back-up:default/web": "failed", "back-up:default/db": "done" });
    expect(archive.backups.filter(({ tags }) => tags["workload"] === "default/web")).toEqual([]);
  });

  test("a replication run has one of them, and does not let it go in time", async () => {
    const lock = await world.locks.take("workload db", () => "");
    const states = await run(planOf(["web", "db"]));
    await lock.release();
    expect(states).toMatchObject({ "back-up:default/web": "done", "back-up:default/db": "failed" });
    expect(world.logged.filter(({ event }) => event === "workload.awaited")).toHaveLength(1);
  });

  test("what is left over cannot be swept", async () => {
    reader.sweep = async () => {
      throw new AgentError("incus.refused", "Cannot delete the copy");
    };
    const states = await run(planOf(["web"]));
    expect(states).toMatchObject({ "sweep:export": "failed", "back-up:default/web": "done" });
  });
});

test("executeOffsite() has a workload's lock while it is read, and no longer", async () => {
  const seen: (string | undefined)[] = [];
  archive.before = async (call) => {
    if (call.includes("/disk") || call === "expire") {
      for (const name of ["web", "db"]) seen.push(await world.locks.ask(`workload ${name}`));
    }
  };
  await run(planOf(["web", "db"]));
  expect(seen).toEqual([undefined, "", undefined, undefined]);
});

test("executeOffsite() stops trying when the archive itself fails, and still gives up what it held", async () => {
  archive.before = async () => {
    throw new AgentError("kopia.unreachable", "Cannot back up: no route to host");
  };
  const states = await run(planOf(["web", "db"]));
  expect(states).toEqual({
    "sweep:export": "done",
    "hold:export": "done",
    "back-up:default/web": "failed",
    "back-up:default/db": "skipped",
    "release:export": "done",
    retention: "skipped",
    maintenance: "skipped",
  });
});

test("executeOffsite() that is to end gives up what it held, and leaves the rest", async () => {
  archive.before = async (call) => {
    if (call.includes("/export")) ending.abort("SIGTERM");
  };
  reader.chunks = async function* (_text, _id, signal) {
    signal.throwIfAborted();
    yield new Uint8Array();
  };
  const states = await run(planOf(["web", "db"]));
  expect(states).toMatchObject({
    "back-up:default/web": "cancelled",
    "back-up:default/db": "cancelled",
    "release:export": "done",
    retention: "cancelled",
    maintenance: "cancelled",
  });
  expect(archive.backups).toEqual([]);
});

test("executeOffsite() skips what could not be held", async () => {
  reader.hold = async () => {
    throw new AgentError("incus.unreachable", "Cannot reach prod");
  };
  const states = await run(planOf(["web"]));
  expect(states).toMatchObject({
    "hold:export": "failed",
    "back-up:default/web": "skipped",
    "release:export": "skipped",
    maintenance: "done",
  });
});

test("executeOffsite() reports what could not be given up", async () => {
  const { hold } = reader;
  reader.hold = async (...args) => ({
    ...(await hold(...args)),
    release: async () => {
      reader.held.clear();
      throw new AgentError("incus.refused", "Cannot delete the snapshot");
    },
  });
  expect(await run(planOf(["web"]))).toMatchObject({ "back-up:default/web": "done", "release:export": "failed" });
});

describe("executeOffsite() that stops an instance", () => {
  test("has it running again before anything is read", async () => {
    let statusAtHold: string | undefined;
    let statusAtReading: string | undefined;
    const { hold } = reader;
    reader.hold = (...args) => {
      statusAtHold = both.source.get(web).status;
      return hold(...args);
    };
    archive.before = async () => {
      statusAtReading = both.source.get(web).status;
    };
    const states = await run(planOf(["web"], [web]));
    expect([statusAtHold, statusAtReading, states["hold:export"]]).toEqual(["Stopped", "Running", "done"]);
    expect(both.source.get(web).config).toEqual({ "user.x": "1" });
  });

  test("starts it again when it cannot be held", async () => {
    reader.hold = async () => {
      throw new AgentError("incus.unreachable", "Cannot reach prod");
    };
    await run(planOf(["web"], [web]));
    expect(both.source.get(web).status).toBe("Running");
  });

  test("lets it be heard that one stays down, and reads what is held all the same", async () => {
    both.intercept = async ({ verb }, effect) => {
      if (verb === "start") throw new AgentError("incus.refused", "no");
      effect();
    };
    const states = await run(planOf(["web"], [web]));
    expect(states).toMatchObject({ "hold:export": "failed", "back-up:default/web": "done" });
  });

  test("starts one that an earlier run has left stopped, unless that run is still at it", async () => {
    const restart: OffsiteStep = { kind: "restart", id: "restart:default/web", needs: [], unit: web, place: PLACE };
    const plan = planOf(["db"]);
    const leftDown = () => {
      both.source.get(web).status = "Stopped";
      both.source.get(web).config = { "user.iab.stopped": "offsite-20261119-040000-1f3c" };
    };
    leftDown();
    const lock = await world.locks.take("workload web", () => "");
    const other = { ...plan, steps: [restart, ...plan.steps] };
    const [tried] = await Promise.allSettled([run(other)]);
    expect(tried.status).toBe("rejected");
    expect(both.source.get(web).status).toBe("Stopped");
    await lock.release();
    expect(await run(other)).toMatchObject({ "restart:default/web": "done" });
    expect(both.source.get(web)).toMatchObject({ status: "Running", config: {} });
  });
});
