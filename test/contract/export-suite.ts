import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { parseIndex } from "../../src/export/backup-index.ts";
import { exportReader } from "../../src/export/export-reader.ts";
import { MARKS } from "../../src/model/marks.ts";
import type { Reading } from "../../src/model/ports.ts";
import type { OpenSubject, ReadingRun, Subject } from "../../src/model/reading.ts";
import type { Workload } from "../../src/model/state.ts";
import { type Unit, unitId } from "../../src/model/unit.ts";
import { systemClock } from "../../src/system/clock.ts";
import { readTar } from "../../src/tar/read.ts";
import { gather } from "../tar/tars.ts";
import { fresh, pathOf, type Stage } from "./stage.ts";

const KINDS = ["instance", "volume", "block"] as const;
type Kind = (typeof KINDS)[number];

let runs = 0;

/** A run of its own for every test, whose traces are no other's. */
function newRun(): ReadingRun {
  runs += 1;
  const second = String(runs % 60).padStart(2, "0");
  return { owner: `iab@contract-${runs}`, name: `offsite-20261120-0400${second}-1f3c` };
}

/** Workloads as streams, and made of streams again. */
export function exportSuite(at: () => Stage): void {
  const source = () => at().files.source;
  const reader = () => exportReader(source(), systemClock);

  const create = (kind: Kind, pool = "local"): Promise<Unit> => {
    const name = fresh("out");
    if (kind === "instance") {
      const config = { "boot.autostart": "true", "snapshots.schedule": "@daily", "user.note": 'says: "ü"\n#' };
      const devices = { eth0: { type: "nic", network: "lan0" } };
      return at().createInstance("source", { name, pool, config, devices });
    }
    const contentType = kind === "block" ? "block" : "filesystem";
    return at().createVolume("source", { name, pool, contentType, config: { "user.note": "kept" } });
  };

  const subjectOf = async (unit: Unit, signal: AbortSignal): Promise<Subject> => {
    const pools = await source().pools(["local", "plain"], signal);
    const list: readonly Workload[] =
      unit.kind === "instance" ? await source().instances(signal) : await source().volumes([unit.pool], signal);
    const workload = list.find((each) => unitId(each) === unitId(unit));
    const poolName = workload?.kind === "volume" ? workload.pool : workload?.expandedDevices["root"]?.["pool"];
    const pool = pools.find(({ name }) => name === poolName);
    if (workload === undefined || pool === undefined) throw new Error(`${unitId(unit)} is not there`);
    return { kind: "workload", workload, pool };
  };

  const reading = async (
    unit: Unit,
    run: ReadingRun,
    signal: AbortSignal,
    work: (opened: OpenSubject, reading: Reading) => Promise<void>,
  ): Promise<void> => {
    const subject = await subjectOf(unit, signal);
    const held = await reader().hold([subject], run, signal);
    try {
      const opened = await held.open(subject, signal);
      try {
        await work(opened, held);
      } finally {
        await opened.close();
      }
    } finally {
      await held.release();
    }
  };

  const bytesOf = (opened: OpenSubject, signal: AbortSignal): AsyncIterable<Uint8Array> => {
    const [part] = opened.parts;
    if (part?.kind !== "stream") throw new Error("An export is one stream");
    return part.bytes(signal);
  };

  const exported = async (unit: Unit, signal: AbortSignal, between: () => Promise<void> = async () => {}) => {
    const result: { tar?: Buffer; snapshot?: string | undefined } = {};
    await reading(unit, newRun(), signal, async (opened) => {
      await between();
      result.tar = await gather(bytesOf(opened, signal));
      result.snapshot = opened.snapshot;
    });
    return { tar: result.tar ?? Buffer.alloc(0), snapshot: result.snapshot };
  };

  /** Whatever a run may leave on a server, anywhere in the project. */
  const traces = async (signal: AbortSignal): Promise<string[]> => {
    const volumes = await source().volumes(["local", "plain"], signal);
    const all: readonly Workload[] = [...(await source().instances(signal)), ...volumes];
    const own = all.filter(({ project }) => project === at().project);
    const backups = await Promise.all(
      own.map(async (workload) => {
        const list = (await at().raw.source.get(pathOf(workload, "/backups"))) as readonly string[] | null;
        return (list ?? []).length > 0 ? [`backup of ${workload.name}`] : [];
      }),
    );
    return [
      ...backups.flat(),
      ...own.filter(({ name, config }) => name.startsWith("offsite-") || config[MARKS.offsite]).map(({ name }) => name),
      ...own.flatMap(({ name, snapshots }) => snapshots.map((snapshot) => `${name}/${snapshot.name}`)),
    ].filter((name) => name.includes("offsite-") || name.startsWith("backup of out-"));
  };

  const importAs = async (unit: Unit, tar: Buffer, pool: string, signal: AbortSignal): Promise<Unit> => {
    const name = fresh("in");
    const made: Unit = unit.kind === "instance" ? { ...unit, name } : { ...unit, name, pool };
    const parts = async function* () {
      for (let from = 0; from < tar.length; from += 100_000) yield tar.subarray(from, from + 100_000);
    };
    await source().importFile({ unit: made, pool }, parts(), () => {}, signal);
    return made;
  };

  test.each(KINDS)("an export of an %s that rests describes it, and is the same each time", async (kind) => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create(kind);
    const first = await exported(unit, signal);
    const second = await exported(unit, signal);
    expect(first.snapshot).toBeUndefined();
    expect(digestOf(second.tar)).toBe(digestOf(first.tar));
    const record = parseIndex(await contentOf(first.tar, "backup/index.yaml"), "the index");
    const words = record.kind === "instance" ? record.instance : record.volume;
    expect(words["name"]).toBe(unit.name);
    expect(await traces(signal)).toEqual([]);
  });

  test.each(KINDS)("an export of an %s becomes one in another pool, with all content", async (kind) => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create(kind);
    const { tar } = await exported(unit, signal);
    const made = await importAs(unit, tar, "plain", signal);
    expect(await at().digest("source", made)).toBe(await at().digest("source", unit));
    const config =
      kind === "instance" ? { "user.note": 'says: "ü"\n#', "boot.autostart": "true" } : { "user.note": "kept" };
    expect(await source().describe(made, signal)).toMatchObject({ config });
  });

  test.each(["local", "plain"])("a running instance in %s is read as it was when it was held", async (pool) => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create("instance", pool);
    if (unit.kind !== "instance") throw new Error("It is an instance");
    await source().changeState(unit, "start", { timeoutMs: 30_000, force: false }, signal);
    const before = await at().digest("source", unit);
    const { tar, snapshot } = await exported(unit, signal, () => at().changeContent("source", unit, "later"));
    expect(snapshot).toMatch(/^offsite-/);
    const made = await importAs(unit, tar, "local", signal);
    expect(await at().digest("source", made)).toBe(before);
    expect(await at().digest("source", unit)).not.toBe(before);
    expect(await traces(signal)).toEqual([]);
    await source().changeState(unit, "stop", { timeoutMs: 5_000, force: true }, signal);
  });

  test.each(["volume", "block"] as const)(
    "a %s that an instance uses is read as it was when it was held",
    async (kind) => {
      const signal = AbortSignal.timeout(120_000);
      const unit = await create(kind);
      const disk = { type: "disk", pool: "local", source: unit.name, ...(kind === "block" ? {} : { path: "/mnt" }) };
      // Only what is not started may have a block volume in a container, and using it is what counts.
      if (kind === "volume")
        await at().createInstance("source", { name: fresh("user"), pool: "local", devices: { disk } });
      const before = await at().digest("source", unit);
      const between = kind === "volume" ? () => at().changeContent("source", unit, "later") : async () => {};
      const { tar } = await exported(unit, signal, between);
      const made = await importAs(unit, tar, "local", signal);
      expect(await at().digest("source", made)).toBe(before);
      expect(await traces(signal)).toEqual([]);
    },
  );

  test("an instance that rested and is started before it is read to its end is not believed", async () => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create("instance");
    if (unit.kind !== "instance") throw new Error("It is an instance");
    const start = () => source().changeState(unit, "start", { timeoutMs: 30_000, force: false }, signal);
    const broken = exported(unit, signal, start);
    await expect(broken).rejects.toThrow(/it was used while it was read/);
    expect(await traces(signal)).toEqual([]);
    await source().changeState(unit, "stop", { timeoutMs: 5_000, force: true }, signal);
  });

  test.each(KINDS)("reading an %s that is given up half-way leaves nothing behind", async (kind) => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create(kind);
    if (unit.kind === "instance") {
      await source().changeState(unit, "start", { timeoutMs: 30_000, force: false }, signal);
    }
    const ending = new AbortController();
    const given = reading(unit, newRun(), ending.signal, async (opened) => {
      for await (const _ of bytesOf(opened, ending.signal)) {
        ending.abort(new Error("SIGTERM"));
        ending.signal.throwIfAborted();
      }
    });
    await expect(given).rejects.toThrow("SIGTERM");
    await expect.poll(() => traces(signal), { timeout: 20_000 }).toEqual([]);
    if (unit.kind !== "instance") return;
    await source().changeState(unit, "stop", { timeoutMs: 5_000, force: true }, signal);
  });

  test("what a run that died has left is swept by its owner, and by nobody else", async () => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create("instance");
    if (unit.kind !== "instance") throw new Error("It is an instance");
    await source().changeState(unit, "start", { timeoutMs: 30_000, force: false }, signal);
    const volume = await create("volume");
    await at().createInstance("source", {
      name: fresh("user"),
      pool: "local",
      devices: { disk: { type: "disk", pool: "local", source: volume.name, path: "/mnt" } },
    });
    const run = newRun();
    const subjects = await Promise.all([unit, volume].map((each) => subjectOf(each, signal)));
    const held = await reader().hold(subjects, run, signal);
    for (const subject of subjects) await held.open(subject, signal);
    // A name alone, ours or not, is no reason to delete anything.
    await source().createSnapshot(unit, "offsite-20261120-040000-1f3c", signal);
    expect(await reader().sweep("iab@other", signal)).toEqual([]);
    const swept = await reader().sweep(run.owner, signal);
    expect(swept.map((what) => what.split(" ")[0]).sort()).toEqual(["copy", "copy", "snapshot", "snapshot"]);
    expect(await traces(signal)).toEqual([`${unit.name}/offsite-20261120-040000-1f3c`]);
    await source().deleteSnapshot(unit, "offsite-20261120-040000-1f3c", signal);
    await held.release();
    await source().changeState(unit, "stop", { timeoutMs: 5_000, force: true }, signal);
  });

  test("what is not there throws when it is opened, and does the others no harm", async () => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create("volume");
    const subject = await subjectOf(unit, signal);
    const gone = { ...subject, workload: { ...(subject as { workload: Workload }).workload, name: "gone" } } as Subject;
    const held = await reader().hold([gone, subject], newRun(), signal);
    await expect(held.open(gone, signal)).rejects.toMatchObject({ code: "incus.refused" });
    const opened = await held.open(subject, signal);
    expect((await gather(bytesOf(opened, signal))).length).toBeGreaterThan(1024);
    await opened.close();
    await held.release();
  });

  test("half an export is refused, and leaves nothing behind", async () => {
    const signal = AbortSignal.timeout(120_000);
    const unit = await create("instance");
    const { tar } = await exported(unit, signal);
    const half = importAs(unit, tar.subarray(0, tar.length / 2), "local", signal);
    await expect(half).rejects.toMatchObject({ code: "incus.operation-failed" });
  });
}

async function contentOf(tar: Buffer, path: string): Promise<string> {
  async function* bytes() {
    yield tar;
  }
  for await (const entry of readTar(bytes(), "the export")) {
    if (entry.path === path) return (await gather(entry.content)).toString("utf8");
  }
  throw new Error(`There is no ${path}`);
}

function digestOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
