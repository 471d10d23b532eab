import { makeCertificate } from "../fakes/incus/certificate.ts";
import type { GenerationName } from "../fakes/incus/generation.ts";
import { RawClient } from "../fakes/incus/raw-client.ts";
import { type FakeIncus, startFakeIncus } from "../fakes/incus/start-fake-incus.ts";
import { openAs, openBoth } from "./agent.ts";
import type { Stage } from "./stage.ts";

const PROJECT = "contract";
const POOLS = { local: "btrfs", tank: "btrfs", plain: "dir" } as const;
const BORROWS_PROFILES = { "features.profiles": "false" };

/** A stage of two fakes, whose clocks go a second on when they are told to. */
export async function openFake(generation: GenerationName): Promise<Stage> {
  let aheadMs = 0;
  const options = {
    generation,
    pools: POOLS,
    projects: { [PROJECT]: BORROWS_PROFILES },
    networks: ["lan0"],
    now: () => Date.now() + aheadMs,
  };
  const fakes = { source: await startFakeIncus(options), target: await startFakeIncus(options) };
  const client = makeCertificate();
  const raw = { source: new RawClient(fakes.source, client), target: new RawClient(fakes.target, client) };
  for (const fake of Object.values(fakes)) fake.trust(client.certificate);
  const servers = openBoth(fakes.source, fakes.target, client);
  const files = { source: openAs("source", fakes.source, client), target: openAs("target", fakes.target, client) };
  return {
    generation,
    project: PROJECT,
    servers,
    files,
    raw,
    async createInstance(side, wish) {
      const { pool, ...seed } = wish;
      const root = pool === undefined ? { rootFromProfile: true } : { pool };
      return fakes[side].addInstance({ ...mutable(seed), ...root, project: PROJECT });
    },
    async createVolume(side, wish) {
      return fakes[side].addVolume({ ...mutable(wish), project: PROJECT });
    },
    async changeContent(side, unit, seed) {
      fakes[side].setContent(unit, `${unit.name} changed by ${seed}`);
    },
    digest: async (side, unit, snapshot) => fakes[side].digest(unit, snapshot) ?? "nothing",
    makeToken: async (side, rights) => fakes[side].addToken(restricted(rights)),
    trust: async (side, { certificate }, rights) => fakes[side].trust(certificate, restricted(rights)),
    openAs: (side, other) => openAs(side, fakes[side], other),
    async nextSecond() {
      aheadMs += 1000;
    },
    async close() {
      await servers.close();
      await Promise.all(Object.values(files).map((each) => each.close()));
      await Promise.all(Object.values(raw).map((each) => each.close()));
      await Promise.all(Object.values<FakeIncus>(fakes).map((fake) => fake.close()));
    },
  };
}

function restricted({ name, projects }: { name: string; projects?: readonly string[] }) {
  return projects === undefined ? { name } : { name, projects, restricted: true };
}

/** The fake keeps what it is given. */
function mutable<T extends object>(wish: T): T {
  return structuredClone(wish);
}
