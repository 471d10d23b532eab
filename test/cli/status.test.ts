import { expect, test } from "vitest";
import { CONFIG, data, db, stage, web } from "./stage.ts";

test("iab status shows each workload on both sides, its lag, and what is not covered", async () => {
  const { both, later, run } = stage();
  await run();
  both.source.add({ kind: "instance", project: "default", name: "forgotten" });
  both.target.add(
    { kind: "instance", project: "default", name: "gone" },
    { config: { "user.iab.source": "prod:default/gone" } },
  );
  both.target.add({ kind: "instance", project: "default", name: "somebody-elses" });
  both.source.snapshot(db, "by-hand");
  later(90 * 60_000);
  const { exitCode, stdout } = await run("status");
  expect(exitCode).toBe(0);
  const row = (workload: string, side: string) =>
    stdout.split("\n").find((line) => line.startsWith(`| ${workload} `) && line.includes(` ${side} `));
  expect(row("web1", "target")).toMatch(/IAB_20261120-040000 \| IAB_20261120-040000 \| +1h 30m \| +1 \| +0 \|$/);
  expect(row("db1", "source")).toMatch(/IAB_20261120-040000 \| +\| +1h 30m \| +1 \| +1 \|$/);
  expect(stdout).toContain("forgotten on the source: the configuration does not name it");
  expect(stdout).toContain(
    "gone on the target: it is a replica of prod:default/gone, which the configuration does not name",
  );
  expect(stdout).not.toContain("somebody-elses");
});

test("iab status -f json tells times, milliseconds, and what would be left out, and asks for sizes when told to", async () => {
  const { both, run } = stage();
  await run("run", "local/data");
  both.target.add(db);
  const { stdout } = await run("status", "-f", "json", "--sizes");
  const { workloads, skipped } = JSON.parse(stdout);
  expect(workloads).toContainEqual({
    workload: "default/local/data",
    kind: "volume",
    side: "target",
    unit: "default/local/data",
    exists: true,
    unknown: null,
    newest: { name: "IAB_20261120-040000", at: "2026-11-20T04:00:00Z" },
    proven: { name: "IAB_20261120-040000", at: "2026-11-20T04:00:00Z" },
    lagMs: 0,
    lostSnapshots: [],
    snapshots: 1,
    otherSnapshots: 0,
    sizeBytes: 1,
  });
  expect(workloads).toContainEqual(
    expect.objectContaining({ unit: "default/web1", side: "target", exists: false, lagMs: null }),
  );
  expect(skipped).toMatchObject([{ workload: "default/db1", failed: true }]);
});

test("iab status does not call proven what no run has proven", async () => {
  const { both, run } = stage();
  await run();
  both.target.get(web).config = { ...both.target.get(web).config, "user.iab.last": "IAB_20261119-040000" };
  const { stdout, exitCode } = await run("status", "-f", "json", "--strict");
  const row = JSON.parse(stdout).workloads.find(
    ({ unit, side }: Record<string, string>) => unit === "default/web1" && side === "target",
  );
  expect(row).toMatchObject({ newest: { name: "IAB_20261120-040000" }, proven: null, lagMs: null });
  expect(exitCode).toBe(7);
});

test("iab status --strict is content when all is there", async () => {
  const { later, run } = stage();
  await run();
  later();
  expect((await run("status", "--strict")).exitCode).toBe(0);
});

test("iab status --prometheus prints metrics, with labels that no name can break", async () => {
  const { both, later, run } = stage();
  await run();
  both.source.add({ kind: "instance", project: 'we"ird\\', name: "x" });
  later(60_000);
  const { stdout } = await run("status", "--prometheus");
  expect(stdout).toContain("# TYPE iab_lag_seconds gauge\n");
  expect(stdout).toContain('iab_lag_seconds{workload="default/web1",side="target"} 60\n');
  expect(stdout).toContain('iab_snapshots{workload="default/local/data",side="source"} 1\n');
  expect(stdout).toContain('iab_uncovered{workload="we\\"ird\\\\/x",side="source"} 1');
  expect(stdout).not.toContain("iab_left_out");
});

/** Four runs that keep more than the source has, and then what `incus copy --refresh` does, by hand. */
async function refreshedByHand() {
  const [project] = CONFIG.projects;
  const { both, later, run } = stage({ ...CONFIG, projects: [{ ...project, mode: "relay", history: "keep" }] });
  for (let round = 0; round < 4; round += 1) {
    expect((await run()).exitCode).toBe(0);
    later();
  }
  for (const unit of [web, data]) {
    const replica = both.target.get(unit);
    const onSource = both.source.names(unit);
    expect(replica.snapshots).toHaveLength(4);
    replica.snapshots = replica.snapshots.filter(({ name }) => onSource.includes(name));
    if (unit.kind === "instance") replica.config = {};
  }
  return { run };
}
const GONE = ["IAB_20261120-040000", "IAB_20261120-050000"];

test("iab status tells at once what a refresh by hand has destroyed of kept history", async () => {
  const { run } = await refreshedByHand();
  const { stdout, exitCode } = await run("status", "--strict");
  expect(exitCode).toBe(7);
  for (const place of ["web1", "local/data"]) {
    expect(stdout.replace(/\s+/g, " ")).toContain(
      `${place} on the target has lost 2 of the 4 snapshots that the last run left there: ${GONE.join(", ")} (history.lost)`,
    );
  }
  expect(stdout).toMatch(/\| SNAPSHOTS \| LOST \| OTHERS \|/);
  expect(stdout).toMatch(/\| db1 +\| target .*\| +4 \| +\| +0 \|/);
  expect(stdout).toMatch(/\| web1 +\| target .*\| +2 \| +2 \| +0 \|/);

  const { workloads, warnings } = JSON.parse((await run("status", "-f", "json")).stdout);
  expect(workloads).toContainEqual(expect.objectContaining({ unit: "default/web1", lostSnapshots: GONE }));
  expect(workloads).toContainEqual(expect.objectContaining({ unit: "default/db1", side: "target", lostSnapshots: [] }));
  expect(warnings.map(({ code }: { code: string }) => code)).toEqual(["history.lost", "history.lost"]);
  const { stdout: metrics } = await run("status", "--prometheus");
  expect(metrics).toContain('iab_lost_snapshots{workload="default/web1",side="target"} 2\n');
  expect(metrics).toContain('iab_lost_snapshots{workload="default/db1",side="target"} 0');
});

test("iab plan and iab run tell of lost history too, and the run keeps on from what is left", async () => {
  const { run } = await refreshedByHand();
  const loss = /web1 on the target has lost 2 of the 4 snapshots/;
  expect((await run("plan")).stdout.replace(/\s+/g, " ")).toMatch(loss);
  const { stdout, exitCode } = await run("run", "--strict");
  expect(stdout.replace(/\s+/g, " ")).toMatch(loss);
  expect(exitCode).toBe(7);
  expect((await run("status")).stdout).not.toContain("history.lost");
});
