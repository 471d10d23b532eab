import type { Copied, Copy } from "../../src/model/copy.ts";
import { snapshotName } from "../../src/model/snapshot.ts";
import { DAY_MS } from "../../src/model/time.ts";
import { parsePolicy } from "../../src/retention/parse-policy.ts";
import { thin } from "../../src/retention/thin.ts";

/** One unit on a source, its replica on a target, and all that a simulation does with them. */
export type Pair = {
  readonly name: string;
  changeSource(seed: string): Promise<void>;
  takeSnapshot(name: string): Promise<void>;
  /** With the dates of the servers, which are those of today. */
  targetSnapshots(): Promise<readonly { readonly name: string; readonly createdAtExact: string }[]>;
  deleteSnapshot(side: "source" | "target", name: string): Promise<void>;
  digest(side: "source" | "target", snapshot: string): Promise<string>;
  /** A copy in relay mode that keeps what is named and sends what is named. */
  copy(keep: Copy["keep"], sends: readonly string[]): Promise<Copied>;
};

export type Simulation = {
  readonly runs: number;
  readonly days: number;
  readonly sourcePolicy: string;
  readonly targetPolicy: string;
};

/** What a simulation has seen, for the test to judge. */
export type Simulated = {
  /** What each run transferred, the first one left out: it sends everything. */
  readonly bytes: readonly number[];
  /** The snapshots that were copied, with the digest of their content on the source at that time. */
  readonly digests: ReadonlyMap<string, string>;
  /** Those that the policies leave on each side in the end. */
  readonly expected: { readonly source: readonly string[]; readonly target: readonly string[] };
  /** The GUIDs that were seen, on ZFS. */
  readonly guids: ReadonlyMap<string, string>;
};

const START = Date.UTC(2026, 0, 1);

/**
 * Many runs in few minutes: the names bear the simulated time, by which the policies go, while the servers date the
 * snapshots as they please. The target prunes only what the source has forgotten, like a real run.
 */
export async function simulate(pair: Pair, { runs, days, sourcePolicy, targetPolicy }: Simulation): Promise<Simulated> {
  const stepMs = Math.floor((days * DAY_MS) / runs);
  const at = new Map<string, number>();
  const digests = new Map<string, string>();
  const guids = new Map<string, string>();
  const bytes: number[] = [];
  const held = { source: [] as string[], target: [] as string[] };
  for (let run = 0; run < runs; run += 1) {
    const now = START + run * stepMs;
    const name = snapshotName(now);
    at.set(name, now);
    await pair.changeSource(`run-${run}`);
    await pair.takeSnapshot(name);
    digests.set(name, await pair.digest("source", name));
    held.source.push(name);

    const there = await pair.targetSnapshots();
    expectSame(there, held.target, `${pair.name}: the target before run ${run}`);
    const keep = there.map((snapshot) => ({ ...snapshot, guid: guids.get(snapshot.name) }));
    const copied = await pair.copy(keep, [name]);
    for (const [snapshot, guid] of Object.entries(copied.guids ?? {})) guids.set(snapshot, guid);
    if (run > 0) bytes.push(copied.bytes ?? Number.POSITIVE_INFINITY);
    held.target.push(name);

    const dated = (names: readonly string[]) => names.map((each) => ({ name: each, createdAt: at.get(each) ?? 0 }));
    const removed = (names: readonly string[], policy: string) =>
      thin(dated(names), parsePolicy(policy), now).flatMap((v) => (v.verdict === "remove" ? [v.name] : []));
    for (const old of removed(held.source, sourcePolicy)) await pair.deleteSnapshot("source", old);
    held.source = without(held.source, removed(held.source, sourcePolicy));
    const forgotten = removed(held.target, targetPolicy).filter((each) => !held.source.includes(each));
    for (const old of forgotten) await pair.deleteSnapshot("target", old);
    held.target = without(held.target, forgotten);
  }
  return { bytes, digests, expected: held, guids };
}

function without(names: readonly string[], gone: readonly string[]): string[] {
  return names.filter((name) => !gone.includes(name));
}

function expectSame(there: readonly { readonly name: string }[], names: readonly string[], what: string): void {
  const [is, ought] = [there.map(({ name }) => name).sort(), [...names].sort()];
  if (is.join() !== ought.join()) throw new Error(`${what} has ${is.join(", ")} in place of ${ought.join(", ")}`);
}
