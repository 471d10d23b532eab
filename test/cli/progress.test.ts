import { expect, test } from "vitest";
import { watchProgress } from "../../src/cli/progress.ts";
import { AgentError } from "../../src/model/errors.ts";
import { copyStep, instance, planOf, snapshotStep } from "../execute/steps.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";

const web = snapshotStep(instance("web1"));
const copy = copyStep(instance("web1"));
const plan = planOf([web, copy]);
const progress = { bytes: 5 * 1024 * 1024, totalBytes: undefined, bytesPerSecond: 1024 * 1024, what: undefined };

test("watchProgress() draws what is running on a terminal, and takes the line away at the end", () => {
  const world = memoryWorld({ onTerminal: true });
  const observer = watchProgress(plan, world, { silent: false });
  const later = (spanMs: number) => world.moveTo(world.clock.now() + spanMs);
  later(200);
  observer.began(web);
  observer.ended(web, { state: "done" });
  observer.began(copy);
  later(200);
  observer.progressed(copy, progress);
  observer.progressed(copy, progress);
  observer.ended(copy, { state: "done", bytes: 7 });
  expect(world.drawn).toEqual(["0/2 steps | snapshot web1", "1/2 steps | copy web1: 5MiB, 1MiB/s", ""]);
  expect(world.logged.map(({ event }) => event)).not.toContain("run.progress");
});

test("watchProgress() logs a line at most each 10 s where there is no terminal", () => {
  const world = memoryWorld();
  const observer = watchProgress(plan, world, { silent: false });
  for (let second = 0; second < 25; second += 1) {
    world.moveTo(world.clock.now() + 1000);
    observer.progressed(copy, progress);
  }
  const lines = world.logged.filter(({ event }) => event === "run.progress");
  expect(lines).toHaveLength(2);
  expect(lines[0]?.facts).toEqual({ ended: 0, total: 2, running: ["copy web1: 5MiB, 1MiB/s"] });
  expect(world.drawn).toEqual([]);
});

test("watchProgress() shows nothing when it is to be silent, but logs what became of each step", () => {
  const world = memoryWorld({ onTerminal: true });
  const observer = watchProgress(plan, world, { silent: true });
  const error = new AgentError("incus.operation-failed", "No space left");
  world.moveTo(world.clock.now() + 60_000);
  observer.began(web);
  observer.ended(web, { state: "failed", error });
  observer.ended(copy, { state: "skipped", because: web.id });
  expect(world.drawn).toEqual([""]);
  expect(world.logged.map(({ level, event }) => `${level} ${event}`)).toEqual([
    "debug step.began",
    "error step.failed",
    "warn step.skipped",
  ]);
  expect(world.logged[1]?.facts).toEqual({ step: web.id, error });
});
