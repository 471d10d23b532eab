import { expect, test } from "vitest";
import { workloadLockName } from "../../src/cli/workload-locks.ts";
import { AgentError } from "../../src/model/errors.ts";
import { unitId } from "../../src/model/unit.ts";
import { CONFIG, data, db, stage, web } from "./stage.ts";

const changes = (calls: readonly string[]) =>
  calls.filter(
    (call) => !/^(source|target) (facts|members|projects|instances|pools|volumes|networks|profiles|busy)$/.test(call),
  );

test("iab run replicates everything, and a later one prunes on both sides what the policy lets go", async () => {
  const { both, later, run } = stage();
  expect(await run()).toMatchObject({ exitCode: 0, stderr: "" });
  expect(both.target.get(web)).toMatchObject({ content: "web1-0", status: "Stopped" });
  expect(both.source.get(web).status).toBe("Running");
  for (let hour = 1; hour < 4; hour += 1) {
    later();
    for (const unit of [web, db, data]) both.source.get(unit).content = `${unit.name}-${hour}`;
    expect((await run("run")).exitCode).toBe(0);
  }
  for (const unit of [web, db, data]) {
    expect(both.source.names(unit)).toEqual(["IAB_20261120-060000", "IAB_20261120-070000"]);
    expect(both.target.get(unit).snapshots.map(({ content }) => content)).toEqual([`${unit.name}-2`, `${unit.name}-3`]);
    expect(both.target.names(unit)).toEqual(both.source.names(unit));
  }
});

test.each([["plan"], ["run", "--dryRun"], ["--dryRun"], ["-dryRun=true"], ["run", "--dryRunCopy"]])(
  "iab %s prints the plan and changes nothing, before the first run too",
  async (...argv) => {
    const { world, both, run } = stage();
    const { exitCode, stdout } = await run(...argv);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("IAB_20261120-040000");
    expect(stdout).toContain("web1");
    expect(changes(both.calls)).toEqual([]);
    expect(world.logged.map(({ event }) => event)).not.toContain("run.started");
  },
);

test("iab plan -f json names steps, what they need, and what is left out", async () => {
  const { both, run } = stage();
  both.target.add(db);
  const { exitCode, stdout } = await run("plan", "-f", "json");
  expect(exitCode).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({
    version: 1,
    run: "IAB_20261120-040000",
    at: "2026-11-20T04:00:00Z",
    steps: [
      { id: "snapshot:default/local/data", kind: "snapshot", workload: "default/local/data", side: "source" },
      { id: "snapshot:default/web1" },
      { id: "copy:default/local/data", needs: ["snapshot:default/local/data"] },
      { id: "copy:default/web1", needs: ["snapshot:default/web1", "copy:default/local/data"] },
    ],
    skipped: [{ workload: "default/db1" }],
    warnings: [],
  });
});

test("iab run fails for one workload alone, prunes nothing of it, says so, and the next run heals it", async () => {
  const { both, later, run } = stage();
  for (let hour = 0; hour < 2; hour += 1) {
    await run();
    later();
  }
  both.intercept = async (call, effect) => {
    if (call.verb === "copy" && call.unit === "default/db1") {
      throw new AgentError("incus.operation-failed", "No space left on device", { hint: "make room" });
    }
    effect();
  };
  const failed = await run("run", "-f", "json");
  expect(failed.exitCode).toBe(3);
  const { outcomes, exitCode, totals } = JSON.parse(failed.stdout);
  expect(exitCode).toBe(3);
  expect(totals).toEqual({ snapshots: 3, copies: 2, bytes: 40, pruned: 4 });
  expect(outcomes).toContainEqual({
    id: "copy:default/db1",
    kind: "copy",
    workload: "default/db1",
    state: "failed",
    error: { code: "incus.operation-failed", message: "No space left on device", hint: "make room" },
  });
  expect(both.source.names(db)).toHaveLength(3);
  expect(both.source.names(web)).toHaveLength(2);
  both.intercept = async (_call, effect) => effect();
  later();
  expect((await run()).exitCode).toBe(0);
  expect(both.target.names(db)).toEqual(both.source.names(db));
  expect(both.source.names(db)).toHaveLength(2);
});

test("iab run does only the workloads that are named, with the volumes they use", async () => {
  const { both, run } = stage();
  expect((await run("run", "web*")).exitCode).toBe(0);
  expect([...both.target.units.keys()].sort()).toEqual(["default/local/data", "default/web1"]);
});

test("iab run refuses a workload that the configuration does not name", async () => {
  const { both, run } = stage();
  const { exitCode, stderr } = await run("run", "web9");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("Cannot find web9: no workload of the configuration is called so");
  expect(changes(both.calls)).toEqual([]);
});

test("iab run --dryRunPrune copies, and only shows what it would prune", async () => {
  const { both, later, run } = stage();
  for (let hour = 0; hour < 2; hour += 1) {
    await run();
    later();
  }
  const table = await run("run", "--dryRunPrune");
  expect(table.exitCode).toBe(0);
  expect(table.stdout).toMatch(
    /Only shown, not carried out:[\s\S]*prune +1 snapshot on prod[\s\S]*IAB_20261120-040000[\s\S]*DONE/,
  );
  expect(both.source.names(web)).toHaveLength(3);
  later();
  const json = JSON.parse((await run("run", "--dryRunPrune", "-f", "json")).stdout);
  expect(json.withheld.steps[0]).toMatchObject({ kind: "prune", removals: [{ name: "IAB_20261120-040000" }, {}] });
  expect(json.totals.pruned).toBe(0);
});

test("iab run --strict ends with 7 where there are warnings, and without it with 0", async () => {
  const { both, run } = stage({
    ...CONFIG,
    projects: [{ ...CONFIG.projects[0], instances: [{ name: "web1", stop: true }] }],
  });
  both.source.get(web).status = "Frozen";
  expect((await run("plan")).exitCode).toBe(0);
  expect((await run("plan", "--strict")).exitCode).toBe(7);
  expect((await run("run", "--strict")).exitCode).toBe(7);
});

test("iab run is refused while another run holds the lock of the configuration, a plan is not", async () => {
  const { world, run } = stage();
  const lock = await world.files.lock("./config.json");
  expect(await run()).toMatchObject({ exitCode: 11, stderr: expect.stringContaining("Another run holds the lock") });
  expect((await run("plan")).exitCode).toBe(0);
  await lock.release();
  expect((await run()).exitCode).toBe(0);
});

test("iab run makes the profile that two instances name also where the first of them is another run's", async () => {
  const { world, both, run } = stage();
  both.target.profiles.push({ project: "default", name: "default", config: {}, devices: {} });
  for (const unit of [web, db]) both.source.get(unit).profiles = ["default", "big"];
  const lock = await world.locks.take(workloadLockName("https://192.0.2.10:8443", web), () => "");
  expect((await run()).exitCode).toBe(3);
  expect(both.target.profiles.map(({ name }) => name)).toEqual(["default", "big"]);
  expect([web, db].map((unit) => both.target.units.has(unitId(unit)))).toEqual([false, true]);
  await lock.release();
  expect((await run()).exitCode).toBe(0);
  expect(both.calls.filter((call) => call.includes("createProfile"))).toEqual(["target createProfile default/big"]);
});

test("iab run takes the next free second for its name where a run of this second has it already", async () => {
  const { both, run } = stage();
  await run("run", "db1");
  expect((await run()).exitCode).toBe(0);
  expect(both.source.names(web)).toEqual(["IAB_20261120-040001"]);
  expect(both.target.names(db)).toEqual(["IAB_20261120-040000", "IAB_20261120-040001"]);
});

test("iab run gives the lock back when it fails, and closes the way to the servers", async () => {
  const { world, both, run } = stage();
  let closed = 0;
  const opened = both.connect;
  both.connect = () => ({
    ...opened(),
    close: async () => {
      closed += 1;
    },
  });
  both.intercept = async () => {
    throw new AgentError("incus.unreachable", "Cannot reach prod", { hint: "is it on?" });
  };
  expect(await run()).toEqual({ exitCode: 5, stdout: "", stderr: "iab: Cannot reach prod\n     hint: is it on?" });
  expect(closed).toBe(1);
  await (await world.files.lock("./config.json")).release();
});

test("iab run --quiet prints nothing of a run in which all went well", async () => {
  const { both, later, run } = stage();
  expect(await run("--quiet")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  later();
  both.target.get(web).status = "Running";
  expect((await run("--quiet")).stdout).toContain("is not stopped");
});

test("iab run ends with 143 after SIGTERM, with the report of what was done, and no instance stays stopped", async () => {
  const { world, both, run } = stage();
  both.intercept = async (call, effect) => {
    effect();
    if (call.verb === "stop") world.interrupt("SIGTERM");
  };
  const { exitCode, stdout } = await run();
  expect(exitCode).toBe(143);
  expect(stdout).toContain("CANCELLED");
  expect(both.source.get(web)).toMatchObject({ status: "Running", config: {} });
});

test("iab run tells a bug apart from what was foreseen, with its place at debug only", async () => {
  const { both, run } = stage();
  both.intercept = async () => {
    throw new TypeError("x is not a function");
  };
  const quiet = await run();
  expect(quiet.exitCode).toBe(1);
  expect(quiet.stderr).toBe(
    "iab: this is a bug in iab: x is not a function\n     run it with --log-level debug to see where",
  );
  const loud = await run("--log-level=debug");
  expect(loud.stderr).toMatch(/TypeError: x is not a function\n +at .*run\.test\.ts/);
});

test("iab run names a broken configuration's problems and touches no server", async () => {
  const { both, run } = stage({ ...CONFIG, projetcs: [] });
  const { exitCode, stderr } = await run();
  expect(exitCode).toBe(4);
  expect(stderr).toContain("projetcs");
  expect(both.calls).toEqual([]);
});
