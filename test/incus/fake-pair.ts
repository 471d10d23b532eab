import { onTestFinished } from "vitest";
import { openServers } from "../../src/incus/servers.ts";
import type { Copy, InstanceCopy, Progress, VolumeCopy } from "../../src/model/copy.ts";
import type { Clock, Servers } from "../../src/model/ports.ts";
import { Secret } from "../../src/model/secret.ts";
import type { InstanceUnit, VolumeUnit } from "../../src/model/unit.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { FakeIncusOptions } from "../fakes/incus/options.ts";
import { type FakeIncus, startFakeIncus } from "../fakes/incus/start-fake-incus.ts";
import { openTcpProxy } from "../lab/tcp-proxy.ts";
import { instanceCopy, volumeCopy } from "./copies.ts";
import { clientCertificate } from "./local-server.ts";

/** Two fake servers, and the agent's servers over them. All of it lives as long as the test. */
export type FakePair = {
  readonly source: FakeIncus;
  readonly target: FakeIncus;
  readonly servers: Servers;
  copy(copy: Copy, signal?: AbortSignal): Promise<Awaited<ReturnType<Servers["copy"]>>>;
  /** All progress that was told so far. */
  readonly progress: readonly Progress[];
  /** What the agent has sent to the target so far, whatever it was. */
  bytesToTarget(): number;
};

export type FakePairOptions = {
  readonly source?: FakeIncusOptions;
  readonly target?: FakeIncusOptions;
  readonly bytesPerSecond?: () => number | undefined;
  readonly operationTimeoutMs?: number;
  readonly clock?: Clock;
};

export async function openFakePair(options: FakePairOptions = {}): Promise<FakePair> {
  const trusted = [clientCertificate.certificate];
  const clock = options.clock ?? systemClock;
  const source = await startFakeIncus({ name: "prod", trusted, ...options.source });
  const target = await startFakeIncus({ name: "spare", trusted, ...options.target });
  const proxy = await openTcpProxy({ host: "127.0.0.1", port: Number(new URL(target.url).port) });
  const optionsOf = (host: string, fake: FakeIncus, url: string) => ({
    host,
    url,
    credentials: {
      certificate: clientCertificate.certificate,
      key: new Secret(clientCertificate.key),
      pin: fake.certificate,
    },
    clock,
    operationTimeoutMs: options.operationTimeoutMs ?? 10_000,
  });
  const servers = openServers({
    source: optionsOf("prod", source, source.url),
    target: optionsOf("spare", target, `https://${proxy.host}:${proxy.port}`),
    clock,
    bytesPerSecond: options.bytesPerSecond ?? (() => undefined),
  });
  onTestFinished(async () => {
    await servers.close();
    await Promise.all([source.close(), target.close()]);
    await proxy.close();
  });
  const progress: Progress[] = [];
  const never = new AbortController().signal;
  return {
    source,
    target,
    servers,
    progress,
    bytesToTarget: () => proxy.bytes("to-server"),
    copy: (copy, signal = never) => servers.copy(copy, (told) => progress.push(told), signal),
  };
}

/** A copy of an instance to the same name in the pool `local`. */
export function copyOfInstance(unit: InstanceUnit, changes: Partial<InstanceCopy> = {}): InstanceCopy {
  const { create } = instanceCopy();
  const devices = { root: { type: "disk", path: "/", pool: "local" } };
  return instanceCopy({ source: unit, target: unit, create: { ...create, devices }, ...changes });
}

/** A copy of a file system volume to the same name and pool. */
export function copyOfVolume(unit: VolumeUnit, changes: Partial<VolumeCopy> = {}): VolumeCopy {
  const create = { contentType: "filesystem", description: "", config: {} } as const;
  return volumeCopy({ source: unit, target: unit, create, ...changes });
}
