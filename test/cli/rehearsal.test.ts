import { expect, test, vi } from "vitest";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import type { FakeIncusOptions } from "../fakes/incus/options.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { openFakePair } from "../incus/fake-pair.ts";
import { iab } from "./iab.ts";
import { CONFIG } from "./stage.ts";

// Each run transfers over real sockets, several times.
vi.setConfig({ testTimeout: 60_000 });

const KEEPING = {
  ...CONFIG,
  projects: [
    { name: "default", mode: "relay", history: "keep", instances: [{ name: "web1" }] },
    { name: "default", mode: "relay", instances: [{ name: "plain1" }] },
  ],
  retention: { hosts: { source: { default: "1" }, target: { default: "9" } } },
};

const Steps = z.object({ steps: z.array(z.object({ id: z.string(), kind: z.string() })) });
const Outcomes = z.object({
  outcomes: z.array(
    z.object({
      id: z.string(),
      kind: z.string(),
      state: z.string(),
      because: z.string().optional(),
      error: z.object({ code: z.string(), message: z.string() }).optional(),
    }),
  ),
});

/** Two fake servers with a workload whose history is kept, one that is mirrored, and the agent between them. */
async function setUp(options: { source?: FakeIncusOptions; target?: FakeIncusOptions } = {}) {
  // A clock of the servers' own, so that each run has a second to itself.
  let now = Date.UTC(2026, 10, 20, 4);
  const clock = { now: () => now };
  const both = await openFakePair({ source: { ...options.source, ...clock }, target: { ...options.target, ...clock } });
  const units = (["web1", "plain1"] as const).map((name) => both.source.addInstance({ name, content: `${name}-0` }));
  const servers = { ...both.servers, close: async () => {} };
  const run = (...argv: string[]) => {
    now += 60_000;
    const world = memoryWorld({ now, files: { "./config.json": JSON.stringify(KEEPING) } });
    return iab(argv, world, { servers, connect: () => servers });
  };
  const planned = async () => Steps.parse(JSON.parse((await run("plan", "-f", "json")).stdout)).steps;
  const outcomes = async () => {
    const { exitCode, stdout } = await run("run", "-f", "json");
    return { exitCode, ...Outcomes.parse(JSON.parse(stdout)) };
  };
  const scratch = () =>
    JSON.stringify([both.source.state(), both.target.state()]).match(/"iab-rehearsal-[^"]*"/g) ?? [];
  const [web = units[0] as Unit, plain = units[1] as Unit] = units;
  return { ...both, web, plain, planned, plan: () => run("plan"), run: outcomes, scratch };
}

const kinds = (steps: readonly { readonly kind: string }[]) => steps.map(({ kind }) => kind);

test.each([
  { generation: "6.0", driver: "btrfs" },
  { generation: "6.0", driver: "dir" },
  { generation: "6.0", driver: "zfs" },
  { generation: "7.0", driver: "btrfs" },
  { generation: "7.0", driver: "dir" },
  { generation: "7.0", driver: "zfs" },
] as const)("a rehearsal passes once between servers of $generation with $driver, and leaves nothing", async (fake) => {
  const { run, planned, scratch, web, target } = await setUp({ source: fake, target: fake });
  expect(kinds(await planned())).toContain("rehearse");
  const first = await run();
  expect(first.outcomes.filter(({ state }) => state !== "done")).toEqual([]);
  expect(first.exitCode).toBe(0);
  expect(kinds(first.outcomes)).toContain("rehearse");
  expect(scratch()).toEqual([]);
  expect(target.config(web)).toHaveProperty(["user.iab.rehearsed"]);
  expect(kinds(await planned())).not.toContain("rehearse");
  const second = await run();
  expect([second.exitCode, target.snapshots(web).length]).toEqual([0, 2]);
});

test("a version that nobody knows is rehearsed with, and used where it answers as it should", async () => {
  const { run } = await setUp({ target: { generation: "7.0", version: "9.1.0" } });
  const { outcomes, exitCode } = await run();
  expect([exitCode, kinds(outcomes)]).toEqual([0, expect.arrayContaining(["rehearse"])]);
});

const strange = [
  {
    name: "asks for what it has",
    what: { kind: "ask-for", names: ["IAB_20200101-000000"] },
    says: "asks for IAB_20200101",
  },
  { name: "speaks of a header that nobody knows", what: { kind: "header-version", version: 9 }, says: "version 9 of" },
  {
    name: "says it succeeded and did nothing",
    what: { kind: "false-success" },
    says: "failed: Cannot copy ",
  },
] as const;

test.each(strange)("a target that $name is refused kept history; all else goes on", async ({ what, says }) => {
  const { run, source, target, web, plain, scratch, planned } = await setUp({
    target: { generation: "7.0", version: "9.1.0" },
  });
  const path = "/1.0/storage-pools/local/volumes/custom";
  // The first transfer of the rehearsal is let through, the refresh is not.
  target.faults.add({ match: { method: "POST", path }, what, after: 1, times: 9 });
  const { exitCode, outcomes } = await run();
  expect(exitCode).toBe(3);
  const rehearsal = outcomes.find(({ kind }) => kind === "rehearse");
  expect(rehearsal).toMatchObject({
    state: "failed",
    error: { code: "history.refused", message: expect.stringContaining("Incus 9.1.0 (btrfs) failed: ") },
  });
  expect(rehearsal?.error?.message).toContain(says);
  expect(outcomes.find(({ id }) => id === "copy:default/web1")).toMatchObject({
    state: "skipped",
    because: rehearsal?.id,
  });
  expect([target.has(web), target.snapshots(plain).length]).toEqual([false, 1]);
  expect(source.snapshots(web)).toHaveLength(1);
  expect(scratch()).toEqual([]);
  // Once more: it is refused again, and still nothing is deleted.
  expect((await run()).exitCode).toBe(3);
  expect(source.snapshots(web)).toHaveLength(2);
  expect(kinds(await planned())).toContain("rehearse");
});

test("the plan says for people that a rehearsal comes first", async () => {
  const { plan } = await setUp();
  const text = (await plan()).stdout.replace(/\s+/g, " ");
  expect(text).toContain("rehearse kept history, with files, from Incus 7.0.2 (btrfs) to Incus 7.0.2 (btrfs)");
  expect(text).toContain("unless it passes, no history is kept there");
});
