import { onTestFinished } from "vitest";
import { stableExport } from "../../src/export/stable-export.ts";
import type { IncusServer } from "../../src/incus/server.ts";
import type { UnitRecord } from "../../src/model/export.ts";
import type { InstanceUnit } from "../../src/model/unit.ts";
import { systemClock } from "../../src/system/clock.ts";
import { openAs } from "../contract/agent.ts";
import { makeCertificate } from "../fakes/incus/certificate.ts";
import type { Fault } from "../fakes/incus/faults.ts";
import { type FakeIncus, startFakeIncus } from "../fakes/incus/start-fake-incus.ts";
import { type FakeKopia, fakeKopia } from "../fakes/kopia/fake-kopia.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryReader } from "../fakes/reader/memory-reader.ts";
import { type MemoryWorld, memoryWorld } from "../fakes/world/memory-world.ts";
import { type Ended, iab, memoryHost } from "./iab.ts";
import { CONFIG } from "./stage.ts";

const FOLDER = "/etc/iab/credentials";
export const CONFIG_PATH = "./config.json";
const PLACE = { read: "export", host: "source", root: undefined } as const;
const TAGS = { workload: "default/web1", host: "prod", run: "r" };
const RESOURCES = JSON.stringify({ type: "sync", metadata: { space: { used: 10, total: 11 } } });

/** What a pool says of itself that has a byte left. */
export const FULL_POOL: Fault = {
  match: { path: "/1.0/storage-pools/local/resources" },
  what: { kind: "answer", status: 200, type: "application/json", body: RESOURCES },
  times: 9,
};

export const soon = () => AbortSignal.timeout(15_000);

export type Stage = {
  readonly fake: FakeIncus;
  readonly server: IncusServer;
  readonly world: MemoryWorld;
  readonly web: InstanceUnit;
  /** The backup of it, and what it held then. */
  readonly id: string;
  readonly digest: string | undefined;
  run(argv: readonly string[], more?: Partial<MemoryWorld>): Promise<Ended>;
};

/** A server with a running instance that is no more what its one backup says. */
export async function stageOfRestore(offsite: (id: string) => object): Promise<Stage> {
  const client = makeCertificate();
  const fake = await startFakeIncus({ generation: "7.0", pools: { local: "btrfs" } });
  fake.trust(client.certificate);
  const server = openAs("prod", fake, client);
  onTestFinished(async () => {
    await server.close();
    await fake.close();
  });
  const world = memoryWorld();
  const kopia = fakeKopia(() => world.clock.now());
  const web = fake.addInstance({ name: "web1", content: "good", status: "Running" });
  const digest = fake.digest(web);
  const id = await backUp(kopia, server, web);
  fake.setContent(web, "ruined");
  const hosts = CONFIG.hosts.map((host) => ({ ...host, url: fake.url }));
  const repository = { repository_password: "p", backend: { type: "filesystem", filesystem: { path: "/backup" } } };
  const owner = { cache: { directory: "/c" }, hostname: "host1", username: "iab" };
  const part = { ...repository, ...owner, ...offsite(id) };
  world.texts.set(CONFIG_PATH, JSON.stringify({ ...CONFIG, hosts, projects: [], offsite: part }));
  world.texts.set(`${FOLDER}/iab_client.crt`, client.certificate);
  world.texts.set(`${FOLDER}/iab_client.key`, client.key);
  world.texts.set(`${FOLDER}/servers/127.0.0.1_${new URL(fake.url).port}.pem`, fake.certificate);
  const both = memoryServers(world.clock);
  const host = () => ({ ...memoryHost(both, "source"), reader: () => memoryReader(PLACE, {}) });
  // The fake's operations take time that only a real clock tells.
  const outside = { ...world, clock: systemClock, processes: kopia };
  return { fake, server, world, web, id, digest, run: (argv, more) => iab(argv, { ...outside, ...more }, both, host) };
}

/** The export of an instance and the record beside it, as a run leaves them. */
async function backUp(kopia: FakeKopia, server: IncusServer, web: InstanceUnit): Promise<string> {
  const record = (await server.recordOf(web, soon())) as UnitRecord & { kind: "instance" };
  const file = server.exportFile(web, { name: "x", expiresAt: Date.now() + 60_000 }, soon());
  await put(kopia, "export", stableExport(file, record, "x"));
  const backup = kopia.backups[0]?.id ?? "none";
  const parts = [{ name: "export", role: "export", backup }];
  const run = { version: 1, kind: "instance", pool: record.pool, parts, instance: record.instance };
  await put(kopia, "config", [Buffer.from(JSON.stringify(run))]);
  return backup;
}

async function put(kopia: FakeKopia, role: string, bytes: Iterable<Buffer> | AsyncIterable<Uint8Array>): Promise<void> {
  const tags = { ...TAGS, role, part: role, stream: `web1.${role}` };
  const flags = Object.entries(tags).map(([key, value]) => `--tags=${key}:${value}`);
  const argv = ["kopia", "snapshot", "create", "/x", "--override-source=iab@host1:/x", ...flags];
  async function* input() {
    yield* bytes;
  }
  await kopia.run({ argv, input: input() }, soon());
}
