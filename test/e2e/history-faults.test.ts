import { afterAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { startRelayProcess } from "../../bench/relay-process.ts";
import { CHANNELS } from "../../src/incus/copy-requests.ts";
import type { Copy } from "../../src/model/copy.ts";
import { type CopyLab, openCopyLab } from "../contract/copy-lab.ts";
import { call } from "../lab/daemon-api.ts";
import { crashDaemon, restartDaemon } from "../lab/faults.ts";
import { GENERATIONS, type LabDaemon, openLab } from "../lab/lab.ts";
import { deleteSubvolumes, orphanSubvolumes } from "../lab/storage.ts";
import { openTcpProxy, type TcpProxy } from "../lab/tcp-proxy.ts";
import { deleteUnit } from "../lab/workloads.ts";
import { openBreakableEnds } from "./breakable-ends.ts";
import { type LabPair, openLabPair } from "./history-lab-pair.ts";

const lab = openLab();
const CASES = [
  { kind: "instance", driver: "btrfs" },
  { kind: "filesystem", driver: "dir" },
] as const;
const SIDES = ["source", "target"] as const;
const GROWTH_BYTES = 500_000;
/** From the first handshake, by the first words of the servers, to the last of the data. */
const CUTS = [1, 2_000, 8_000, 16_000, 30_000, 60_000, 120_000, 240_000, 360_000, 480_000];
const SLOWLY = 400_000;
/** How a copy may end whose connection is cut; `done` if it was cut too late to matter. */
const FORESEEN = ["done", "incus.operation-failed", "incus.unreachable", "incus.refused", "copy.unproven"];

function isForeseen(end: string): boolean {
  return FORESEEN.some((code) => end.startsWith(code));
}

/** A replica with two snapshots that the source has forgotten, and a source with one that the replica lacks. */
async function openHistory(copyLab: CopyLab, { kind, driver }: (typeof CASES)[number]): Promise<LabPair> {
  const pair = await openLabPair(copyLab, { kind, sourceDriver: driver, targetDriver: driver });
  proven.set(pair, new Set());
  for (const name of ["s1", "s2", "s3"]) {
    await pair.changeSource(name);
    await pair.takeSnapshot(name);
    expect(await copyNow(pair)).toBe("done");
  }
  const digests = new Map<string, string>();
  for (const name of ["s1", "s2"]) {
    digests.set(name, await pair.digest("source", name));
    await pair.deleteSnapshot("source", name);
  }
  forgotten.set(pair, digests);
  await pair.growSource("s4", 6 * GROWTH_BYTES);
  await pair.takeSnapshot("s4");
  return pair;
}

/** What a run would do. Says how it ended. */
async function copyNow(pair: LabPair): Promise<string> {
  const { keep, sends } = await planned(pair);
  return pair.copy(keep, sends).then(
    () => {
      for (const name of sends) proven.get(pair)?.add(name);
      return "done";
    },
    (error) => `${error.code}: ${error.message}`,
  );
}

/** The snapshots of each replica that a copy has brought to its end. */
const proven = new WeakMap<LabPair, Set<string>>();

/** What the snapshots of each replica hold that its source has forgotten. */
const forgotten = new WeakMap<LabPair, ReadonlyMap<string, string>>();

/** As a plan has it: what was never proven is taken back first, all else is kept, and what is not there is sent. */
async function planned(pair: LabPair): Promise<Pick<Copy, "keep"> & { sends: string[] }> {
  await vi.waitFor(() => takeBack(pair), UNDOING);
  const there = await pair.targetSnapshots();
  const names = there.map(({ name }) => name);
  const sends = (await pair.sourceNames()).filter((name) => !names.includes(name));
  return { keep: there.map((snapshot) => ({ ...snapshot, guid: undefined })), sends };
}

async function takeBack(pair: LabPair): Promise<void> {
  for (const { name } of await pair.targetSnapshots()) {
    if (proven.get(pair)?.has(name) !== true) await pair.deleteSnapshot("target", name);
  }
}

/** A volume's operation ends before all is undone that it had begun: until then, what a list names may be gone. */
const UNDOING = { timeout: 20_000, interval: 500 };

async function expectNothingLost(pair: LabPair): Promise<void> {
  const lists = async () => {
    const names = (await pair.targetSnapshots()).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["s1", "s2", "s3"]));
  };
  await vi.waitFor(lists, UNDOING);
}

/** The next run completes what the last one could not, and each snapshot holds what it should. */
async function expectHealed(copyLab: CopyLab, pair: LabPair): Promise<void> {
  await untilIdle(copyLab);
  await expectNothingLost(pair);
  expect(await copyNow(pair)).toBe("done");
  const onSource = await pair.sourceNames();
  expect((await pair.targetSnapshots()).map(({ name }) => name)).toEqual(["s1", "s2", ...onSource]);
  for (const name of ["s1", "s2"]) expect(await pair.digest("target", name)).toBe(forgotten.get(pair)?.get(name));
  for (const name of onSource) expect(await pair.digest("target", name)).toBe(await pair.digest("source", name));
  await deleteUnit(copyLab.target, pair.replica);
  await deleteUnit(copyLab.source, pair.unit);
}

async function closed(copyLab: CopyLab): Promise<void> {
  await untilIdle(copyLab);
  await copyLab.close();
}

/** What Incus was receiving when it crashed it leaves in the pool for ever, outside of any volume. */
async function sweep(daemon: LabDaemon): Promise<void> {
  const pool = daemon.pools.btrfs;
  const half = (await orphanSubvolumes(daemon, pool)).filter((path) => /^\w+\/migration\.\d+\//.test(path));
  await deleteSubvolumes(daemon, pool, half);
}

const Operations = z.record(z.string(), z.array(z.object({ status_code: z.number() })));

/** Until both servers have ended what they do: one end of a migration that nobody comes for waits half a minute. */
async function untilIdle({ source, target, project }: CopyLab): Promise<void> {
  const running = async (daemon: LabDaemon) => {
    const all = Operations.parse(await call(daemon, "GET", `/1.0/operations?recursion=1&project=${project}`));
    return Object.values(all)
      .flat()
      .filter(({ status_code }) => status_code < 200);
  };
  const idle = async () => expect([...(await running(source)), ...(await running(target))]).toEqual([]);
  await vi.waitFor(idle, { timeout: 60_000, interval: 500 });
}

async function openProxy(daemon: LabDaemon): Promise<TcpProxy & { readonly url: string }> {
  const { hostname, port } = new URL(daemon.url);
  const proxy = await openTcpProxy({ host: hostname, port: Number(port) });
  return { ...proxy, url: `https://${proxy.host}:${proxy.port}` };
}

const UNITS_OF_SIDES = SIDES.flatMap((side) => CASES.map((unit) => ({ side, ...unit })));

describe.each(GENERATIONS)("Incus %s", (generation) => {
  const { source, target } = lab.incus[generation];
  // Only now: while others copy, there are subvolumes on their way.
  afterAll(async () => {
    for (const daemon of [source, target]) expect(await orphanSubvolumes(daemon, daemon.pools.btrfs)).toEqual([]);
  });

  test.concurrent.for(UNITS_OF_SIDES)(
    "a server that is cut off at ten points loses no history: $side, $kind on $driver",
    async ({ side, ...unit }, { onTestFinished }) => {
      const proxy = await openProxy(side === "source" ? source : target);
      onTestFinished(proxy.close);
      const copyLab = await openCopyLab(source, target, { [`${side}Url`]: proxy.url });
      onTestFinished(() => closed(copyLab));
      const pair = await openHistory(copyLab, unit);
      const ends: string[] = [];
      for (const [i, bytes] of CUTS.entries()) {
        await pair.growSource(`cut-${i}`, GROWTH_BYTES);
        await pair.takeSnapshot(`s${5 + i}`);
        proxy.cutAfter(bytes);
        const ended = copyNow(pair);
        await Promise.race([proxy.struck(), ended]);
        proxy.heal();
        ends.push(await ended);
        await untilIdle(copyLab);
        await expectNothingLost(pair);
      }
      expect(ends.filter((end) => !isForeseen(end))).toEqual([]);
      expect(ends.filter((end) => end !== "done").length).toBeGreaterThan(4);
      await expectHealed(copyLab, pair);
    },
  );

  test.concurrent.for(CHANNELS.flatMap((channel) => UNITS_OF_SIDES.map((unit) => ({ channel, ...unit }))))(
    "a channel that breaks at ten points loses no history: $channel to the $side, $kind on $driver",
    async ({ channel, side, ...unit }, { onTestFinished }) => {
      const breakable = openBreakableEnds();
      const copyLab = await openCopyLab(source, target, { through: breakable.through });
      onTestFinished(() => closed(copyLab));
      const pair = await openHistory(copyLab, unit);
      for (const [i, bytes] of CUTS.entries()) {
        await pair.growSource(`break-${i}`, GROWTH_BYTES);
        await pair.takeSnapshot(`s${5 + i}`);
        breakable.breakAfter(side, channel, bytes);
        const ended = await copyNow(pair);
        expect(breakable.heal(), `broken after ${bytes}`).toBe(true);
        expect(isForeseen(ended), ended).toBe(true);
        if (channel === "fs") expect(ended).not.toBe("done");
        await untilIdle(copyLab);
        await expectNothingLost(pair);
      }
      await expectHealed(copyLab, pair);
    },
  );

  test.concurrent("an agent that is killed in the middle of a transfer loses no history", async ({
    onTestFinished,
  }) => {
    const copyLab = await openCopyLab(source, target);
    onTestFinished(() => closed(copyLab));
    const pair = await openHistory(copyLab, CASES[0]);
    const copy = { ...pair.copyOf, ...(await planned(pair)), bytesPerSecond: SLOWLY };
    const agent = await startRelayProcess(copyLab.work(copy));
    const ended = expect(agent.measured).rejects.toThrow("The copy failed");
    await agent.underWay;
    agent.kill();
    await ended;
    await expectHealed(copyLab, pair);
  });

  test("a target that crashes in the middle of a transfer loses no history", async ({ onTestFinished }) => {
    const copyLab = await openCopyLab(source, target);
    onTestFinished(() => closed(copyLab));
    const pair = await openHistory(copyLab, CASES[0]);
    const copy = { ...pair.copyOf, ...(await planned(pair)), bytesPerSecond: SLOWLY };
    let crashed: Promise<void> | undefined;
    const onProgress = () => {
      crashed ??= crashDaemon(target).then(() => restartDaemon(target));
    };
    const failed = copyLab.servers.copy(copy, onProgress, new AbortController().signal);
    await expect(failed).rejects.toMatchObject({ code: expect.stringMatching(/incus|copy\.unproven/) });
    await crashed;
    await sweep(target);
    await expectHealed(copyLab, pair);
  });
});
