import { expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { fresh, inProject, pathOf, type Stage } from "./stage.ts";

const OCTETS = "application/octet-stream";
const EMPTY_BLOCKS = Buffer.alloc(1024);
const KINDS = ["instance", "volume"] as const;

/** Units as files. */
export function backupSuite(at: () => Stage): void {
  /** A unit with a snapshot that differs from its head. */
  const create = async (kind: Unit["kind"]): Promise<Unit> => {
    const { servers, changeContent } = at();
    const unit =
      kind === "instance"
        ? await at().createInstance("source", { name: fresh("web"), pool: "local", description: "mine" })
        : await at().createVolume("source", { name: fresh("data"), pool: "local", description: "mine" });
    await servers.source.createSnapshot(unit, "s1", AbortSignal.timeout(30_000));
    await changeContent("source", unit, "later");
    return unit;
  };

  const backUp = async (unit: Unit): Promise<Buffer> => {
    const { raw } = at();
    const body = { name: "b1", compression_algorithm: "none" };
    expect((await raw.source.run("POST", pathOf(unit, "/backups"), body)).error).toBe("");
    const exported = await raw.source.bytes("GET", pathOf(unit, "/backups/b1/export"), {});
    expect(exported).toMatchObject({ status: 200, headers: { "content-type": OCTETS } });
    expect(exported.headers["content-length"]).toBe(String(exported.bytes.length));
    return exported.bytes;
  };

  const restore = async (unit: Unit, name: string, file: Buffer): Promise<string> => {
    const { raw } = at();
    const path = unit.kind === "instance" ? "/1.0/instances" : "/1.0/storage-pools/plain/volumes/custom";
    const headers = { "content-type": OCTETS, "X-Incus-name": name, "X-Incus-pool": "plain" };
    const answer = await raw.source.bytes("POST", inProject(at(), path), headers, file);
    const body = JSON.parse(answer.bytes.toString("utf8"));
    return await raw.source.endOf({ status: answer.status, headers: answer.headers, body });
  };

  test.each(KINDS)("a backup of an %s is listed, exported as a whole tar, and deleted", async (kind) => {
    const { raw } = at();
    const unit = await create(kind);
    const file = await backUp(unit);
    expect(file.toString("latin1", 0, 17)).toBe("backup/index.yaml");
    expect(file.subarray(-EMPTY_BLOCKS.length).equals(EMPTY_BLOCKS)).toBe(true);
    expect(await raw.source.get(`${pathOf(unit, "/backups")}&recursion=1`)).toMatchObject([{ name: "b1" }]);
    expect((await raw.source.run("DELETE", pathOf(unit, "/backups/b1"))).error).toBe("");
    expect((await raw.source.call("GET", pathOf(unit, "/backups/b1"))).status).toBe(404);
  });

  test.each(KINDS)("a backup of an %s comes back in another pool, with exact dates and all content", async (kind) => {
    const { servers, digest } = at();
    const signal = AbortSignal.timeout(60_000);
    const unit = await create(kind);
    const name = fresh("restored");
    expect(await restore(unit, name, await backUp(unit))).toBe("");
    const restored: Unit = unit.kind === "instance" ? { ...unit, name } : { ...unit, name, pool: "plain" };
    const [before, after] = await Promise.all([
      servers.source.snapshots(unit, signal),
      servers.source.snapshots(restored, signal),
    ]);
    expect(after.map(({ name: of, createdAtExact }) => [of, createdAtExact])).toEqual(
      before.map(({ name: of, createdAtExact }) => [of, createdAtExact]),
    );
    expect(await digest("source", restored)).toBe(await digest("source", unit));
    expect(await digest("source", restored, "s1")).toBe(await digest("source", unit, "s1"));
  });

  test.each(KINDS)("half a backup of an %s is not accepted", async (kind) => {
    const unit = await create(kind);
    const file = await backUp(unit);
    expect(await restore(unit, fresh("half"), file.subarray(0, file.length / 2))).not.toBe("");
  });

  test.each(KINDS)("a backup of an %s is streamed as it is made on 7.0, and an operation on 6.0", async (kind) => {
    const { raw, generation } = at();
    const unit = await create(kind);
    const body = JSON.stringify({ compression_algorithm: "none" });
    const headers = { accept: OCTETS, "content-type": "application/json" };
    const answer = await raw.source.bytes("POST", pathOf(unit, "/backups"), headers, body);
    if (generation === "6.0") return expect(answer.status).toBe(202);
    expect(answer).toMatchObject({ status: 200, headers: { "content-type": OCTETS } });
    expect(answer.headers).not.toHaveProperty("content-length");
    expect(answer.bytes.subarray(-EMPTY_BLOCKS.length).equals(EMPTY_BLOCKS)).toBe(true);
    expect(await raw.source.get(pathOf(unit, "/backups"))).toEqual([]);
  });

  test("a streamed backup cannot have a name", async () => {
    const { raw, generation } = at();
    const unit = await create("volume");
    const headers = { accept: OCTETS, "content-type": "application/json" };
    const answer = await raw.source.bytes("POST", pathOf(unit, "/backups"), headers, JSON.stringify({ name: "b1" }));
    expect(answer.status).toBe(generation === "6.0" ? 202 : 400);
  });
}
