import type { Copy } from "../../../src/model/copy.ts";
import { AgentError, IncusRefusal } from "../../../src/model/errors.ts";
import type { Clock, Servers } from "../../../src/model/ports.ts";
import { unitId } from "../../../src/model/unit.ts";
import { type Call, type Intercept, MemoryServer, type MemoryUnit, type Pass } from "./memory-server.ts";

export type MemoryServers = {
  readonly source: MemoryServer;
  readonly target: MemoryServer;
  readonly servers: Servers;
  /** The servers for one process: what `intercept` is now it stays for them, also when another one comes after it. */
  connect: () => Servers;
  /** Every call so far, in order, as `side verb unit detail`. */
  readonly calls: string[];
  /** Replaced by a test that wants a call to fail, to wait, or to be seen. */
  intercept: Intercept;
  /** Names that the next transfer lists on the target without data behind them. */
  phantoms: readonly string[];
  /** The operation that every transfer leaves behind on the source. */
  lingering: string | undefined;
};

/** Both servers of a run, empty. */
export function memoryServers(clock: Clock): MemoryServers {
  const calls: string[] = [];
  const passing = (intercept: () => Intercept) => async (call: Call, effect: () => void, signal: AbortSignal) => {
    signal.throwIfAborted();
    calls.push([call.side, call.verb, call.unit, call.detail].filter((word) => word !== "").join(" "));
    await intercept()(call, effect);
  };
  const source = new MemoryServer("source", clock);
  const target = new MemoryServer("target", clock);
  const made: MemoryServers = {
    source,
    target,
    calls,
    phantoms: [],
    lingering: undefined,
    intercept: async (_call, effect) => effect(),
    servers: serversOf(passing(() => made.intercept)),
    connect: () => {
      const { intercept } = made;
      return serversOf(passing(() => intercept));
    },
  };
  return made;

  function serversOf(pass: Pass): Servers {
    return {
      source: source.port(pass),
      target: target.port(pass),
      copy: async (copy, onProgress, signal) => {
        onProgress({ bytes: 10, totalBytes: undefined, bytesPerSecond: 10, what: undefined });
        const call = { side: "between", verb: "copy", unit: unitId(copy.source), detail: unitId(copy.target) } as const;
        await pass(call, () => refresh(copy, made), signal);
        return { bytes: 20, ...(made.lingering === undefined ? {} : { lingering: made.lingering }) };
      },
      mend: (copy, names, signal) => {
        const call = { side: "between", verb: "mend", unit: unitId(copy.target), detail: names.join(" ") } as const;
        return pass(call, () => mend(target.get(copy.target), names), signal);
      },
      close: async () => {},
    };
  }
}

// As Incus does it: what the source lacks goes, what is newer than the newest common snapshot comes, the head follows.
function refresh(copy: Copy, { source, target, phantoms }: MemoryServers): void {
  const from = source.get(copy.source);
  if (!target.units.has(unitId(copy.target))) {
    const devices = copy.kind === "instance" ? { ...copy.create.devices } : {};
    target.add(copy.target, { config: copy.create.config, devices });
  }
  const to = target.get(copy.target);
  if (to.status === "Running")
    throw new IncusRefusal(500, "Failed getting exclusive access to instance: Instance is running");
  const half = from.snapshots.find(({ name }) => to.halves.includes(name));
  if (half !== undefined)
    throw new AgentError(
      "incus.operation-failed",
      `UNIQUE constraint failed: storage_volumes_snapshots (${half.name})`,
    );
  const same = (one: { name: string; createdAt: number }) => (other: { name: string; createdAt: number }) =>
    one.name === other.name && one.createdAt === other.createdAt;
  const kept = new Set(copy.keep.map(({ name }) => name));
  const common = to.snapshots.filter((snapshot) => kept.has(snapshot.name) || from.snapshots.some(same(snapshot)));
  const newest = Math.max(-1, ...common.map(({ createdAt }) => createdAt));
  const sent = from.snapshots
    .filter((snapshot) => snapshot.createdAt > newest)
    .map((snapshot) => (phantoms.includes(snapshot.name) ? { ...snapshot, sizeBytes: undefined } : snapshot));
  to.snapshots = [...common, ...sent];
  to.content = from.content;
}

function mend(unit: MemoryUnit, names: readonly string[]): void {
  unit.halves = unit.halves.filter((name) => !names.includes(name));
}
