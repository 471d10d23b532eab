import { expect, test } from "vitest";
import type { Contents } from "../../src/model/contents.ts";
import type { VolumeUnit } from "../../src/model/unit.ts";
import { fresh, type Stage } from "./stage.ts";

const ALL = [
  { contentType: "filesystem", pool: "local" },
  { contentType: "filesystem", pool: "plain" },
  { contentType: "block", pool: "local" },
  { contentType: "block", pool: "plain" },
] as const;

const IMAGE_BYTES = 1024 * 1024;

/** Small volumes of known content. */
export function contentsSuite(at: () => Stage): void {
  const contentsOf = (contentType: string, seed: number): Contents => {
    const bytes = (length: number) => Buffer.alloc(length, `seed ${seed}`);
    if (contentType === "block") return new Map([["", bytes(IMAGE_BYTES)]]);
    return new Map([
      ["one", bytes(3000)],
      ["empty", bytes(0)],
      [`folder/below/${seed}`, bytes(70_000)],
    ]);
  };
  const texts = (contents: Contents | undefined) =>
    [...(contents ?? [])].map(([path, bytes]) => [path, Buffer.from(bytes).toString("base64")] as const).sort();

  test.each(ALL)("a $contentType volume in $pool is made with content and snapshots, and read back", async (wish) => {
    const { servers, project } = at();
    const signal = AbortSignal.timeout(60_000);
    const unit: VolumeUnit = { kind: "volume", project, pool: wish.pool, name: fresh("known") };
    const config = { "user.mine": "yes", ...(wish.contentType === "block" ? { size: "1MiB" } : {}) };
    const snapshots = new Map([
      ["s1", contentsOf(wish.contentType, 1)],
      ["s2", contentsOf(wish.contentType, 2)],
    ]);
    const head = contentsOf(wish.contentType, 3);
    const made = { contentType: wish.contentType, description: "known", config };
    expect(await servers.source.config(unit, signal)).toBeUndefined();
    await servers.source.createVolume(unit, made, { head, snapshots }, signal);

    expect(await servers.source.config(unit, signal)).toMatchObject({ "user.mine": "yes" });
    const listed = await servers.source.snapshots(unit, signal);
    expect(listed.map(({ name, createdAtExact, expiresAt }) => [name, createdAtExact, expiresAt])).toEqual([
      ["s1", "2020-01-01T00:00:00Z", undefined],
      ["s2", "2020-01-02T00:00:00Z", undefined],
    ]);
    const found = await servers.source.contents(unit, signal);
    expect(texts(found.head)).toEqual(texts(head));
    expect([...found.snapshots.keys()].sort()).toEqual(["s1", "s2"]);
    for (const name of ["s1", "s2"]) expect(texts(found.snapshots.get(name))).toEqual(texts(snapshots.get(name)));
    expect(
      await at().raw.source.get(
        `/1.0/storage-pools/${wish.pool}/volumes/custom/${unit.name}/backups?project=${project}`,
      ),
    ).toEqual([]);
    await servers.source.remove(unit, signal);
  });

  test("a volume that is there already is not made again", async () => {
    const { servers } = at();
    const signal = AbortSignal.timeout(60_000);
    const unit = await at().createVolume("source", { name: fresh("data"), pool: "local" });
    const made = { contentType: "filesystem", description: "", config: {} } as const;
    const nothing = { head: new Map(), snapshots: new Map() };
    await expect(servers.source.createVolume(unit, made, nothing, signal)).rejects.toMatchObject({
      code: "incus.operation-failed",
      message: expect.stringMatching(/^Cannot make the volume /),
    });
  });
}
