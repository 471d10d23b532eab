import { beforeEach, expect, test } from "vitest";
import { FULL_POOL, type Stage, soon, stageOfRestore } from "./restore-stage.ts";

let stage: Stage;

beforeEach(async () => {
  stage = await stageOfRestore(() => ({}));
  stage.fake.faults.add(FULL_POOL);
});

const drill = (...more: string[]) => stage.run(["offsite", "verify", "--drill", "web1", ...more]);
const names = async () => (await stage.server.instances(soon())).map(({ name }) => name);

test("a drill that the pool seems to have no room for is refused before anything is made", async () => {
  const before = stage.fake.state();
  const { exitCode, stderr } = await drill();
  expect(exitCode).toBe(5);
  expect(stderr).toContain("Cannot restore web1: it takes 1 MiB, and the pool local has 1 MiB left");
  expect(stderr).toContain("--ignore-space tries it");
  expect(stage.fake.state()).toEqual(before);
});

test("a drill with --ignore-space is done all the same, and leaves nothing behind", async () => {
  const { exitCode, stdout } = await drill("--ignore-space");
  expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/compared it: 1 entries, .*, no difference/)]);
  expect(await names()).toEqual(["web1"]);
});
