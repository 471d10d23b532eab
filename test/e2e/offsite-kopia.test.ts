import { createCipheriv, createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Clock } from "../../src/model/ports.ts";
import { MINUTE_MS, SECOND_MS } from "../../src/model/time.ts";
import { systemClock } from "../../src/system/clock.ts";
import { BACKENDS, PASSWORD } from "../contract/kopia-lab.ts";
import { type MemoryReader, memoryReader } from "../fakes/reader/memory-reader.ts";
import { openLab } from "../lab/lab.ts";
import { ownerWithFirstTurn } from "./first-turn.ts";
import { openOffsiteAgent } from "./offsite-agent.ts";

const PLACE = { read: "export", host: "source", root: undefined } as const;
const MIB = 1024 * 1024;

/** Bytes that nothing makes smaller, the same for the same seed, so many MiB of them. */
async function* noise(seed: string, sizeMib: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const key = createHash("sha256").update(seed).digest();
  const cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  for (let at = 0; at < sizeMib; at += 1) {
    signal.throwIfAborted();
    yield cipher.update(zeros);
  }
}

/** An agent and a reader of one instance whose export is noise. */
function agentOf(name: string, sizeMib: number) {
  const reader: MemoryReader = memoryReader(PLACE, { [`default/${name}`]: { export: name } });
  reader.chunks = (_text, id, signal) => noise(id, sizeMib, signal);
  const agent = openOffsiteAgent(reader);
  onTestFinished(agent.close);
  agent.both.source.add({ kind: "instance", project: "default", name });
  return { agent, reader };
}

function bytesIn(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** A clock that shows a moment so long before the end of a minute. */
function clockBefore(endMs: number): Clock {
  const shift = MINUTE_MS - (Date.now() % MINUTE_MS) - endMs;
  return { ...systemClock, now: () => Date.now() + shift };
}

/** A window that is open now, and for the rest of this minute. */
function windowNow(now: number) {
  const minute = Math.floor(now / MINUTE_MS) % (24 * 60);
  const [hours, minutes] = [Math.floor(minute / 60), minute % 60];
  return [{ start_hour: hours, start_minute: minutes, end_hour: hours, end_minute: minutes }];
}

test("a window that closes in the middle of 2 GiB: ended within 30 s with 75, and the next run uploads the rest only", async () => {
  const SIZE_MIB = 2048;
  const { agent, reader } = agentOf("big", SIZE_MIB);
  const backend = BACKENDS["S3 with TLS and a private CA"]();
  const bucket = join(openLab().s3().dataDir, backend.s3.bucket);
  const clock = clockBefore(25 * SECOND_MS);
  const offsite = { repository_password: PASSWORD, backend, create: true, ...ownerWithFirstTurn("host0") };
  const windows = { maintenance_windows: windowNow(clock.now()), time_zone: "UTC" };
  agent.writeConfig({ ...offsite, ...windows, upload_limit: "30MiB/s" });
  const began = Date.now();
  const first = await agent.iab(["offsite", "run"], { clock });
  const lasted = Date.now() - began;
  expect(first).toMatchObject({ exitCode: 75, stderr: "" });
  expect(first.stdout).toContain("the maintenance window closed before");
  expect(lasted).toBeGreaterThan(24 * SECOND_MS);
  expect(lasted).toBeLessThan((25 + 30) * SECOND_MS);
  expect([...reader.held, ...reader.open]).toEqual([]);
  const listed = JSON.parse((await agent.iab(["offsite", "list", "-f", "json"])).stdout);
  expect(listed.map(({ state }: { state: string }) => state)).toEqual(["incomplete"]);
  const before = bytesIn(bucket);

  agent.writeConfig(offsite);
  const second = await agent.iab(["offsite", "run", "-f", "json"]);
  expect(second).toMatchObject({ exitCode: 0, stderr: "" });
  const after = bytesIn(bucket);
  expect(before).toBeGreaterThan(64 * MIB);
  expect(after - before).toBeLessThan((SIZE_MIB * MIB - before) * 1.05 + 64 * MIB);
});

test("two configurations started at the same moment, with one policies file, share the repository that one makes", async () => {
  const backend = BACKENDS["S3 with TLS and a private CA"]();
  const keep = { retention: { keepLatest: 3 } };
  const agents = ["host1", "host2"].map((hostname) => {
    const { agent } = agentOf(hostname, 3);
    const policies = join(agent.folder, "policies.json");
    writeFileSync(policies, JSON.stringify({ "(global)": keep, "iab@host1": keep, "iab@host2": keep }));
    agent.writeConfig({ repository_password: PASSWORD, backend, create: true, hostname, username: "iab", policies });
    return { agent, hostname };
  });
  const ended = await Promise.all(agents.map(({ agent }) => agent.iab(["offsite", "run", "-f", "json"])));
  for (const { exitCode, stderr } of ended) expect([exitCode, stderr]).toEqual([0, ""]);
  const duties = ended.map(({ stdout }) =>
    JSON.parse(stdout).outcomes.flatMap(({ maintained }: { maintained?: { done: boolean } }) => maintained?.done ?? []),
  );
  expect(duties.flat().sort()).toEqual([false, true]);
  for (const { agent, hostname } of agents) {
    const listed = JSON.parse((await agent.iab(["offsite", "list", "-f", "json"])).stdout);
    const sources = listed.map(({ source }: { source: string }) => source);
    expect(sources).toEqual([
      `iab@${hostname}:/incus/prod/default/instances/${hostname}/export`,
      `iab@${hostname}:/incus/prod/default/instances/${hostname}/config`,
    ]);
  }
});

/** Children of this process, and theirs, as the kernel shows them. */
function descendants(): { readonly pid: string; readonly argv: string; readonly environment: string }[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const parents = new Map(all.flatMap((pid) => parentOf(pid)));
  const isOurs = (pid: string): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && (parent === String(process.pid) || isOurs(parent));
  };
  return all.filter(isOurs).flatMap((pid) => {
    try {
      const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, "utf8");
      return [{ pid, argv: read("cmdline"), environment: read("environ") }];
    } catch {
      // It has just ended.
      return [];
    }
  });
}

function parentOf(pid: string): [string, string][] {
  try {
    const [, parent = ""] = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
    return [[pid, parent]];
  } catch {
    return [];
  }
}

test("secrets are in Kopia's environment and nowhere else: no arguments, no log, no report, no file that stays", async () => {
  const backend = BACKENDS["S3 with TLS and a private CA"]();
  const secrets = [PASSWORD, backend.s3.secret_key];
  const { agent, reader } = agentOf("app", 40);
  const seen: ReturnType<typeof descendants> = [];
  reader.chunks = async function* (_text, id, signal) {
    for await (const chunk of noise(id, 40, signal)) {
      seen.push(...descendants());
      yield chunk;
    }
  };
  agent.writeConfig({ repository_password: PASSWORD, backend, create: true, ...ownerWithFirstTurn("host3") });
  const ended = await agent.iab(["offsite", "run"]);
  expect([ended.exitCode, ended.stderr]).toEqual([0, ""]);
  const kopias = seen.filter(({ argv }) => argv.startsWith(openLab().kopia().path));
  expect(kopias.length).toBeGreaterThan(10);
  const said = [ended.stdout, JSON.stringify(agent.logged), ...seen.map(({ argv }) => argv)];
  const others = seen.filter((each) => !kopias.includes(each)).map(({ environment }) => environment);
  const left = readdirSync(agent.folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => name !== "config.json",
  );
  const files = left.flatMap((name) => contentOf(join(agent.folder, name)));
  expect(left.length).toBeGreaterThan(5);
  for (const secret of secrets) {
    for (const text of [...said, ...others, ...files]) expect(text.includes(secret)).toBe(false);
  }
  // In the environment of the one that needs it: the password, and nothing of the storage.
  expect(kopias.some(({ environment }) => environment.includes(PASSWORD))).toBe(true);
  expect(kopias.some(({ environment }) => environment.includes(backend.s3.secret_key))).toBe(false);
});

function contentOf(path: string): string[] {
  try {
    return [readFileSync(path, "latin1")];
  } catch {
    // A folder.
    return [];
  }
}

test("a second backup of what has changed a little uploads the change and no more", async () => {
  const backend = BACKENDS["S3 over plain http"]();
  const bucket = join(openLab().s3().dataDir, backend.s3.bucket);
  const { agent, reader } = agentOf("app", 0);
  agent.writeConfig({ repository_password: PASSWORD, backend, create: true, ...ownerWithFirstTurn("host4") });
  const CHANGED = 64;
  reader.chunks = (_text, _id, signal) => noise("before", 256, signal);
  expect((await agent.iab(["offsite", "run"])).exitCode).toBe(0);
  const before = bytesIn(bucket);
  reader.chunks = async function* (_text, _id, signal) {
    const changed = noise("changed", CHANGED, signal);
    let at = 0;
    for await (const chunk of noise("before", 256, signal)) {
      const isChanged = at >= 100 && at < 100 + CHANGED;
      yield isChanged ? ((await changed.next()).value ?? chunk) : chunk;
      at += 1;
    }
  };
  expect((await agent.iab(["offsite", "run"])).exitCode).toBe(0);
  expect(bytesIn(bucket) - before).toBeLessThanOrEqual(CHANGED * MIB * 1.05);
  const status = JSON.parse((await agent.iab(["offsite", "status", "-f", "json"])).stdout);
  expect(status).toMatchObject({ repository_connected: true, last_status: "success", in_progress: false });
  expect(status.available_snapshots).toHaveLength(4);
});

test("fewer backups are kept as soon as the configuration says so, of workloads too that are backed up no more", async () => {
  const { agent, reader } = agentOf("app", 1);
  const offsite = {
    repository_password: PASSWORD,
    backend: BACKENDS.filesystem(),
    create: true,
    ...ownerWithFirstTurn("host5"),
  };
  const keep = (latest: number) => ({
    keep_latest: latest,
    keep_hourly: 0,
    keep_daily: 0,
    keep_weekly: 0,
    keep_monthly: 0,
    keep_annual: 0,
  });
  agent.writeConfig({ ...offsite, retention: keep(5) });
  for (let run = 0; run < 3; run += 1) expect((await agent.iab(["offsite", "run"])).exitCode).toBe(0);
  agent.both.source.add({ kind: "instance", project: "default", name: "next" });
  reader.contents.set("default/next", { export: "next" });
  agent.both.source.units.delete("default/app");
  agent.writeConfig({ ...offsite, retention: keep(1) });
  const { exitCode, stdout } = await agent.iab(["offsite", "run", "-f", "json"]);
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout).totals).toMatchObject({ workloads: 1, removed: 4 });
  const listed = JSON.parse((await agent.iab(["offsite", "list", "-f", "json"])).stdout);
  expect(listed.map(({ source }: { source: string }) => source.split("/").slice(-2).join("/")).sort()).toEqual([
    "app/config",
    "app/export",
    "next/config",
    "next/export",
  ]);
});
