import { beforeEach, expect, test } from "vitest";
import { workloadLockName } from "../../src/cli/workload-locks.ts";
import { type Stage, soon, stageOfRestore } from "./restore-stage.ts";

let stage: Stage;

beforeEach(async () => {
  stage = await stageOfRestore(() => ({}));
});

const replace = () =>
  stage.run(["offsite", "restore", stage.id, "--to-incus", "web1", "--replace", "--yes", "--log-level", "error"]);

test("iab offsite restore --replace puts the backup in the place of what is there, without a mark of ours", async () => {
  const { fake, server, web, digest } = stage;
  expect(await replace()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Restored web1") });
  expect([fake.digest(web), fake.status(web)]).toEqual([digest, "Running"]);
  expect(Object.keys(fake.config(web)).filter((key) => key.startsWith("user.iab."))).toEqual([]);
  const names = (await server.instances(soon())).map(({ name }) => name).filter((name) => name !== "web1");
  expect(names).toEqual([expect.stringMatching(/^web1-before-\d{8}-\d{6}$/)]);
});

test("iab offsite restore leaves a workload alone that another run of iab is at work on", async () => {
  const { fake, web, world } = stage;
  const lock = await world.locks.take(workloadLockName(fake.url, web), () => "");
  const before = fake.state();
  expect(await replace()).toMatchObject({ exitCode: 11 });
  expect(fake.state()).toEqual(before);
  await lock.release();
});
