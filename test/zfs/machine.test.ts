import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { Mode } from "../../src/model/job.ts";
import type { Unit } from "../../src/model/unit.ts";
import { type CopyLab, copyOf, ignore, openCopyLab } from "../contract/copy-lab.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, type Generation } from "../lab/lab.ts";
import { openScratch } from "../lab/scratch.ts";
import { startInstance, stopInstance, takeSnapshot } from "../lab/workloads.ts";
import {
  copyIn,
  copyOut,
  datasetOf,
  datasetsBelow,
  digestsOf,
  inGuest,
  openZfsLab,
  type PoolKind,
  writeInto,
  type ZfsCommand,
  type ZfsDaemon,
  zfsCommandsDuring,
  zfsSnapshot,
} from "./guest.ts";

const POOLS: PoolKind[] = ["zfs", "zfsEncrypted"];
type Kind = "instance" | "filesystem" | "block";

test("openZfsLab() of a machine that is not running says how to start it", () => {
  expect(() => openZfsLab("/nonexistent")).toThrow(/ZFS machine is not up.*make lab-zfs/);
});

for (const generation of GENERATIONS) {
  for (const side of ["source", "target"] as const) {
    test(`the ${side} of ${generation} is that generation, with a plain and an encrypted pool`, async ({ signal }) => {
      const daemon = openZfsLab().incus[generation][side];
      const version = expect.stringMatching(`^${generation}\\.`);
      expect(await call(daemon, "GET", "/1.0")).toMatchObject({ environment: { server_version: version } });
      const roots = await Promise.all(POOLS.map((pool) => datasetsBelow(`${daemon.zpools[pool]}/incus`, signal)));
      expect(roots.map(([root]) => root?.encryption)).toEqual(["off", "aes-256-gcm"]);
    });

    test(`the url of the ${side} of ${generation} leads from here and from the guest to its certificate`, async ({
      signal,
    }) => {
      const { url, certificate } = openZfsLab().incus[generation][side];
      const { hostname, port } = new URL(url);
      const script = `const s = require("tls").connect({ host: "${hostname}", port: ${port}, rejectUnauthorized: false },
        () => { console.log(s.getPeerX509Certificate().toString()); s.destroy(); })`;
      const pem = (await readFile(certificate, "utf8")).trim();
      const here = await promisify(execFile)(process.execPath, ["-e", script], { signal });
      expect(here.stdout.trim()).toBe(pem);
      expect((await inGuest(`node -e '${script}'`, signal)).trim()).toBe(pem);
    });
  }

  test(`an instance of ${generation} starts and stops`, async () => {
    const daemon = openZfsLab().incus[generation].source;
    const scratch = await openScratch(daemon);
    try {
      const unit = { kind: "instance", project: scratch.project, name: "runs" } as const;
      await create(daemon, "zfsEncrypted", "instance", unit);
      await startInstance(daemon, unit);
      await stopInstance(daemon, unit);
    } finally {
      await scratch.close();
    }
  });
}

test("copyIn() and copyOut() carry files in and out unchanged", async ({ signal }) => {
  const folder = await mkdtemp(join(tmpdir(), "iab-zfs-"));
  try {
    const content = randomBytes(1 << 20);
    await writeFile(join(folder, "in"), content);
    await copyIn(join(folder, "in"), "/tmp/iab test", signal);
    await inGuest("cp '/tmp/iab test/in' '/tmp/iab test/out'", signal);
    await copyOut("/tmp/iab test/out", folder, signal);
    expect(content.equals(await readFile(join(folder, "out")))).toBe(true);
  } finally {
    await inGuest("rm -rf '/tmp/iab test'", AbortSignal.timeout(30_000));
    await rm(folder, { recursive: true });
  }
});

// Each mode, kind, pool and pair of generations is here, but not all of their combinations: the machine is slow.
const CASES: { from: Generation; to: Generation; mode: Mode; pool: PoolKind; kinds: Kind[] }[] = [
  { from: "6.0", to: "6.0", mode: "pull", pool: "zfs", kinds: ["instance", "filesystem", "block"] },
  { from: "6.0", to: "6.0", mode: "relay", pool: "zfsEncrypted", kinds: ["instance", "filesystem"] },
  { from: "7.0", to: "7.0", mode: "relay", pool: "zfs", kinds: ["instance", "filesystem"] },
  { from: "7.0", to: "7.0", mode: "push", pool: "zfsEncrypted", kinds: ["instance", "filesystem", "block"] },
  { from: "6.0", to: "7.0", mode: "pull", pool: "zfsEncrypted", kinds: ["instance", "filesystem"] },
  { from: "7.0", to: "6.0", mode: "push", pool: "zfs", kinds: ["instance", "filesystem"] },
];

for (const { from, to, mode, pool, kinds } of CASES) {
  for (const kind of kinds) {
    test(`copy() by ${mode} from ${from} to ${to} on ${pool}, ${kind}: increments only, true content`, async ({
      signal,
    }) => {
      const { source, target } = { source: openZfsLab().incus[from].source, target: openZfsLab().incus[to].target };
      const copyLab = await openCopyLab(source, target, { operationTimeoutMs: 600_000 });
      try {
        await copiedTruly(copyLab, mode, pool, kind, signal);
      } finally {
        await copyLab.close();
      }
      for (const daemon of [source, target]) expect(await leftovers(daemon, pool, copyLab.project, signal)).toEqual([]);
    });
  }
}

async function copiedTruly(lab: CopyLab<ZfsDaemon>, mode: Mode, pool: PoolKind, kind: Kind, signal: AbortSignal) {
  const unit = unitOf(lab, pool, kind);
  const copy = copyOf(mode, unit, lab.target.pools[pool], kind === "block" ? "block" : "filesystem");
  const [original, replica] = [datasetOf(lab.source, pool, unit), datasetOf(lab.target, pool, copy.target)];
  const changeAndSnapshot = async (name: string) => {
    await writeInto(original, kind === "instance" ? `rootfs/data/${name}` : name, randomBytes(200_000), signal);
    await takeSnapshot(lab.source, unit, name);
  };

  await create(lab.source, pool, kind, unit);
  for (const name of ["s1", "s2"]) await changeAndSnapshot(name);
  await lab.servers.copy(copy, ignore, signal);
  await changeAndSnapshot("s3");
  const refresh = async () => void (await lab.servers.copy(copy, ignore, signal));
  const commands = await zfsCommandsDuring(refresh, signal);

  const contents = await contentsOf(original, signal);
  expect(new Set(Object.values(contents)).size).toBe(3);
  expect(contents["head"]).toBe(contents["s3"]);
  expect(await contentsOf(replica, signal)).toEqual(contents);
  expect(await guids(replica, signal)).toEqual(await guids(original, signal));
  expect(fullSends(commands, `${lab.source.generation}-source`)).toEqual([]);
}

function unitOf({ source, project }: CopyLab<ZfsDaemon>, pool: PoolKind, kind: Kind): Unit {
  if (kind === "instance") return { kind: "instance", project, name: "unit" };
  return { kind: "volume", project, pool: source.pools[pool], name: "unit" };
}

async function create(daemon: ZfsDaemon, pool: PoolKind, kind: Kind, { project, name }: Unit): Promise<void> {
  if (kind === "instance") {
    const devices = { root: { type: "disk", path: "/", pool: daemon.pools[pool] } };
    const body = { name, type: "container", source: { type: "image", alias: "tiny" }, devices };
    await call(daemon, "POST", `/1.0/instances?project=${project}`, body);
    return;
  }
  const body = { name, type: "custom", content_type: kind, config: kind === "block" ? { size: "16MiB" } : {} };
  await call(daemon, "POST", `/1.0/storage-pools/${daemon.pools[pool]}/volumes?project=${project}`, body);
}

/** The digests of the three snapshots and of the live data. */
async function contentsOf(dataset: string, signal: AbortSignal): Promise<Record<string, string | undefined>> {
  const names = ["s1", "s2", "s3"].map((name) => zfsSnapshot(dataset, name));
  const [s1, s2, s3, head] = await digestsOf([...names, dataset], signal);
  return { s1, s2, s3, head };
}

/** By the names of the snapshots: the same GUID on both sides means that ZFS itself takes them for the same. */
async function guids(dataset: string, signal: AbortSignal): Promise<Record<string, string>> {
  const snapshots = (await datasetsBelow(dataset, signal)).filter(({ type }) => type === "snapshot");
  return Object.fromEntries(snapshots.map(({ name, guid }) => [name.split("@")[1], guid]));
}

/** The streams that are not based on a snapshot; fails where nothing was sent at all. */
function fullSends(commands: ZfsCommand[], daemon: string): ZfsCommand[] {
  const sends = commands.filter((command) => command.daemon === daemon && command.words[0] === "send");
  expect(sends.length).toBeGreaterThanOrEqual(2);
  return sends.filter(({ words }) => !words.includes("-i"));
}

/** What is still there of a project that was removed. */
async function leftovers(daemon: ZfsDaemon, pool: PoolKind, project: string, signal: AbortSignal): Promise<string[]> {
  const datasets = await datasetsBelow(`${daemon.zpools[pool]}/incus`, signal);
  return datasets.map(({ name }) => name).filter((name) => name.includes(project));
}
