import { expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { fresh, names, pathOf, type Stage } from "./stage.ts";

const KINDS = ["instance", "volume"] as const;
const NEVER = "0001-01-01T00:00:00Z";

/** Taking, naming, dating and deleting snapshots. */
export function snapshotSuite(at: () => Stage): void {
  const create = (kind: Unit["kind"], config = {}): Promise<Unit> =>
    kind === "instance"
      ? at().createInstance("source", { name: fresh("web"), config })
      : at().createVolume("source", { name: fresh("data"), pool: "local", config });

  test.each(KINDS)("createSnapshot() of an %s keeps its content while the head changes", async (kind) => {
    const { servers, changeContent, digest } = at();
    const unit = await create(kind);
    const before = await digest("source", unit);
    await servers.source.createSnapshot(unit, "s1", AbortSignal.timeout(30_000));
    await changeContent("source", unit, "later");
    expect(await digest("source", unit, "s1")).toBe(before);
    expect(await digest("source", unit)).not.toBe(before);
  });

  test.each(KINDS)("createSnapshot() of an %s never lets it expire, whatever the configuration says", async (kind) => {
    const { servers, raw } = at();
    const unit = await create(kind, { "snapshots.expiry": "1d" });
    await servers.source.createSnapshot(unit, "s1", AbortSignal.timeout(30_000));
    expect(await raw.source.get(pathOf(unit, "/snapshots/s1"))).toMatchObject({ expires_at: NEVER });
  });

  test.each(KINDS)("a snapshot of an %s that is asked for without a date gets the configuration's", async (kind) => {
    const { raw, servers } = at();
    const unit = await create(kind, { "snapshots.expiry": "1d" });
    expect((await raw.source.run("POST", pathOf(unit, "/snapshots"), { name: "s1" })).error).toBe("");
    const [snapshot] = await servers.source.snapshots(unit, AbortSignal.timeout(30_000));
    expect((snapshot?.expiresAt ?? 0) - (snapshot?.createdAt ?? 0)).toBeGreaterThan(86_000_000);
  });

  test.each(KINDS)("snapshots() of an %s are dated to fractions of a second, oldest first", async (kind) => {
    const { servers } = at();
    const unit = await create(kind);
    for (const name of ["b", "a"]) await servers.source.createSnapshot(unit, name, AbortSignal.timeout(30_000));
    const found = await servers.source.snapshots(unit, AbortSignal.timeout(30_000));
    expect(found.map(({ name }) => name)).toEqual(["b", "a"]);
    for (const { createdAtExact } of found) expect(createdAtExact).toMatch(/\.\d{1,9}Z$/);
  });

  test("a duplicate snapshot of an instance is accepted, and its operation fails", async ({ signal }) => {
    const { servers, raw } = at();
    const unit = await create("instance");
    await servers.source.createSnapshot(unit, "s1", signal);
    const asked = await raw.source.call("POST", pathOf(unit, "/snapshots"), { name: "s1" });
    expect(asked.status).toBe(202);
    expect(await raw.source.endOf(asked)).toMatch(/UNIQUE constraint failed|entry already exists/);
    expect(await names(servers.source, unit, signal)).toEqual(["s1"]);
  });

  test("a duplicate snapshot of a volume is refused at once with 409", async ({ signal }) => {
    const { servers } = at();
    const unit = await create("volume");
    await servers.source.createSnapshot(unit, "s1", signal);
    const again = servers.source.createSnapshot(unit, "s1", signal);
    await expect(again).rejects.toMatchObject({ code: "incus.refused", status: 409 });
  });

  test.each(KINDS)("deleteSnapshot() of an %s removes that one", async (kind) => {
    const { servers } = at();
    const unit = await create(kind);
    const signal = AbortSignal.timeout(30_000);
    for (const name of ["s1", "s2", "s3"]) await servers.source.createSnapshot(unit, name, signal);
    await servers.source.deleteSnapshot(unit, "s2", signal);
    expect(await names(servers.source, unit, signal)).toEqual(["s1", "s3"]);
  });

  test.each(KINDS)("deleteSnapshot() of an unknown snapshot of an %s is refused with 404", async (kind) => {
    const unit = await create(kind);
    const deleted = at().servers.source.deleteSnapshot(unit, "IAB_20000101-000000", AbortSignal.timeout(30_000));
    await expect(deleted).rejects.toMatchObject({ code: "incus.refused", status: 404 });
  });

  test.each(KINDS)("createSnapshot() of an %s that is not there is refused with 404", async (kind) => {
    const unit = await create(kind);
    const made = at().servers.source.createSnapshot({ ...unit, name: "missing" }, "s1", AbortSignal.timeout(30_000));
    await expect(made).rejects.toMatchObject({ code: "incus.refused", status: 404 });
  });

  test.each(KINDS)("a snapshot of an %s cannot have a slash in its name", async (kind) => {
    const answer = await at().raw.source.call("POST", pathOf(await create(kind), "/snapshots"), { name: "a/b" });
    expect(answer.status).toBe(400);
  });

  test.each(KINDS)("a snapshot of an %s cannot have white space in its name", async (kind) => {
    const { raw } = at();
    const ended = await raw.source.run("POST", pathOf(await create(kind), "/snapshots"), { name: "a b" });
    expect(ended.error).not.toBe("");
  });

  test.each(KINDS)("a snapshot of an %s that nobody names is snap0", async (kind) => {
    const { raw, servers } = at();
    const unit = await create(kind);
    expect((await raw.source.run("POST", pathOf(unit, "/snapshots"), {})).error).toBe("");
    expect(await names(servers.source, unit, AbortSignal.timeout(30_000))).toEqual(["snap0"]);
  });

  test.each(KINDS)("a renamed snapshot of an %s keeps its date", async (kind) => {
    const { raw, servers } = at();
    const signal = AbortSignal.timeout(30_000);
    const unit = await create(kind);
    await servers.source.createSnapshot(unit, "s1", signal);
    const [before] = await servers.source.snapshots(unit, signal);
    expect((await raw.source.run("POST", pathOf(unit, "/snapshots/s1"), { name: "s2" })).error).toBe("");
    const [after] = await servers.source.snapshots(unit, signal);
    expect(after).toMatchObject({ name: "s2", createdAtExact: before?.createdAtExact });
  });

  const changes = [
    { kind: "instance", type: "async" },
    { kind: "volume", type: "sync" },
  ] as const;
  test.each(changes)("the expiry of a snapshot of an $kind is changed by a PATCH that is $type", async (wanted) => {
    const { raw, servers } = at();
    const signal = AbortSignal.timeout(30_000);
    const unit = await create(wanted.kind);
    await servers.source.createSnapshot(unit, "s1", signal);
    const answer = await raw.source.call("PATCH", pathOf(unit, "/snapshots/s1"), {
      expires_at: "2055-01-01T00:00:00Z",
    });
    expect(answer.body.type).toBe(wanted.type);
    expect(await raw.source.endOf(answer)).toBe("");
    const [snapshot] = await servers.source.snapshots(unit, signal);
    expect(snapshot?.expiresAt).toBe(Date.UTC(2055, 0, 1));
  });
}
