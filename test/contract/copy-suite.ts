import { expect, test } from "vitest";
import type { Unit } from "../../src/model/unit.ts";
import { copyOf, differences, fresh, names, pathOf, type Stage } from "./stage.ts";

const MODES = ["pull", "push", "relay"] as const;
const ignore = (): void => {};

/** Copies and refreshes, by content. */
export function copySuite(at: () => Stage): void {
  const createUnit = (kind: Unit["kind"], pool: string): Promise<Unit> =>
    kind === "instance"
      ? at().createInstance("source", { name: fresh("web"), pool })
      : at().createVolume("source", { name: fresh("data"), pool });

  const createWith = async (kind: Unit["kind"], pool: string, snapshots: readonly string[]): Promise<Unit> => {
    const unit = await createUnit(kind, pool);
    for (const name of snapshots) await snapshot(unit, name);
    return unit;
  };

  /** Changes the head, takes a snapshot of it in a second of its own. */
  const snapshot = async (unit: Unit, name: string): Promise<void> => {
    await at().changeContent("source", unit, name);
    await at().nextSecond();
    await at().servers.source.createSnapshot(unit, name, AbortSignal.timeout(30_000));
  };

  const copy = (unit: Unit, changes = {}): Promise<unknown> =>
    at().servers.copy({ ...copyOf(unit), ...changes }, ignore, AbortSignal.timeout(60_000));

  /** Makes the target look like the source, and expects that it does. */
  const expectMirror = async (unit: Unit, listed: readonly string[]): Promise<void> => {
    const signal = AbortSignal.timeout(30_000);
    expect(await names(at().servers.target, unit, signal)).toEqual(listed);
    expect(await differences(at(), unit, signal)).toEqual([]);
  };

  test("a snapshot has the profiles that its instance has now, and is received where the target has them all", async ({
    signal,
  }) => {
    const { raw, servers, project } = at();
    const [former, present] = [fresh(`former-${project}`), fresh(`present-${project}`)];
    for (const name of [former, present]) await raw.source.call("POST", "/1.0/profiles", { name });
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local" });
    const assign = async (profile: string) => {
      const { error } = await raw.source.run("PATCH", pathOf(unit), { profiles: ["default", profile] });
      expect(error).toBe("");
    };
    await assign(former);
    await snapshot(unit, "s1");
    await assign(present);
    expect(await raw.source.get(pathOf(unit, "/snapshots/s1"))).toMatchObject({ profiles: ["default", present] });

    await expect(copy(unit)).rejects.toThrow(/Profile not found/);
    await servers.target.createProfile({ project: "default", name: present, description: "", config: {} }, signal);
    await copy(unit);
    await snapshot(unit, "s2");
    await copy(unit);
    await expectMirror(unit, ["s1", "s2"]);
    expect(await raw.target.get(pathOf(unit))).toMatchObject({ profiles: ["default"] });
    await servers.target.remove(unit, signal);
    await raw.target.call("DELETE", `/1.0/profiles/${present}`);
    await servers.source.remove(unit, signal);
    for (const name of [former, present]) await raw.source.call("DELETE", `/1.0/profiles/${name}`);
  });

  for (const kind of ["instance", "volume"] as const) {
    test.each(MODES)(`copy() of an ${kind} by %s brings head and snapshots, and then what is new`, async (mode) => {
      const unit = await createWith(kind, "local", ["s1", "s2"]);
      await copy(unit, { mode });
      await expectMirror(unit, ["s1", "s2"]);
      await snapshot(unit, "s3");
      await at().changeContent("source", unit, "the newest head");
      await copy(unit, { mode });
      await expectMirror(unit, ["s1", "s2", "s3"]);
    });

    test(`a refresh of an ${kind} deletes what the source has lost, and the newest common stays`, async ({
      signal,
    }) => {
      const unit = await createWith(kind, "local", ["s1", "s2", "s3"]);
      await copy(unit);
      await at().servers.source.deleteSnapshot(unit, "s1", signal);
      await snapshot(unit, "s4");
      await copy(unit);
      await expectMirror(unit, ["s2", "s3", "s4"]);
    });

    test(`a refresh of an ${kind} deletes what only the target has`, async ({ signal }) => {
      const unit = await createWith(kind, "local", ["s1"]);
      await copy(unit);
      await at().servers.target.createSnapshot(unit, "t1", signal);
      await copy(unit);
      await expectMirror(unit, ["s1"]);
    });

    test(`a relay that keeps history leaves an ${kind}'s snapshots that the source has lost`, async ({ signal }) => {
      const { servers, digest } = at();
      const unit = await createWith(kind, "local", ["s1", "s2"]);
      await copy(unit);
      const [oldest] = await servers.target.snapshots(unit, signal);
      const content = await digest("target", unit, "s1");
      await servers.source.deleteSnapshot(unit, "s1", signal);
      await snapshot(unit, "s3");
      const keep = [{ name: "s1", createdAtExact: oldest?.createdAtExact ?? "", guid: undefined }];
      await copy(unit, { mode: "relay", keep, sends: ["s3"] });
      expect(await names(servers.target, unit, signal)).toEqual(["s1", "s2", "s3"]);
      expect(await digest("target", unit, "s1")).toBe(content);
      expect(await digest("target", unit, "s3")).toBe(await digest("source", unit, "s3"));
    });
  }

  test("a relay keeps history on dir as well", async ({ signal }) => {
    const { servers, digest } = at();
    const unit = await createWith("instance", "plain", ["s1", "s2"]);
    const create = { ...copyOf(unit).create, devices: { root: { type: "disk", path: "/", pool: "plain" } } };
    await copy(unit, { create });
    const [oldest] = await servers.target.snapshots(unit, signal);
    const content = await digest("target", unit, "s1");
    await servers.source.deleteSnapshot(unit, "s1", signal);
    await snapshot(unit, "s3");
    const keep = [{ name: "s1", createdAtExact: oldest?.createdAtExact ?? "", guid: undefined }];
    await copy(unit, { create, mode: "relay", keep, sends: ["s3"] });
    expect(await names(servers.target, unit, signal)).toEqual(["s1", "s2", "s3"]);
    expect(await digest("target", unit, "s1")).toBe(content);
  });

  test("several units are copied side by side", async () => {
    const units = await Promise.all([1, 2, 3].map(() => createUnit("volume", "local")));
    for (const unit of units) await snapshot(unit, "s1");
    await Promise.all(units.map((unit) => copy(unit)));
    for (const unit of units) await expectMirror(unit, ["s1"]);
  });

  test("nothing protects a volume of a running instance from a refresh", async ({ signal }) => {
    const { servers, project } = at();
    const unit = await createWith("volume", "local", ["s1"]);
    await copy(unit);
    const disk = { type: "disk", pool: "local", source: unit.name, path: "/mnt" };
    const user = await at().createInstance("target", { name: fresh("user"), devices: { disk } });
    await servers.target.changeState(user, "start", { timeoutMs: 30_000, force: true }, signal);
    await snapshot(unit, "s2");
    await copy(unit);
    expect(await names(servers.target, unit, signal)).toEqual(["s1", "s2"]);
    const [replica] = (await servers.target.volumes(["local"], signal)).filter(({ name }) => name === unit.name);
    expect(replica?.usedBy).toEqual([{ kind: "instance", project, name: user.name }]);
    await servers.target.changeState(user, "stop", { timeoutMs: 30_000, force: true }, signal);
  });

  test("a replica's snapshots carry the source's settings, with the target's pool", async ({ signal }) => {
    const { servers, raw } = at();
    const config = { "user.from": "the source" };
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local", config });
    await servers.source.createSnapshot(unit, "s1", signal);
    const create = { ...copyOf(unit).create, devices: { root: { type: "disk", path: "/", pool: "tank" } } };
    await copy(unit, { create });
    expect(await raw.target.get(pathOf(unit, "/snapshots/s1"))).toMatchObject({
      config: { "user.from": "the source" },
      devices: { root: { pool: "tank" } },
    });
    expect((await servers.target.instance(unit, signal))?.config).not.toHaveProperty(["user.from"]);
  });

  test("what was pruned on a dir target stays away, as older ones are excluded", async ({ signal }) => {
    const unit = await createWith("volume", "plain", ["s1", "s2"]);
    await copy(unit);
    await at().servers.target.deleteSnapshot(unit, "s1", signal);
    await snapshot(unit, "s3");
    await copy(unit);
    await expectMirror(unit, ["s2", "s3"]);
  });

  test("the newest one pruned on the target comes back", async ({ signal }) => {
    const unit = await createWith("instance", "local", ["s1", "s2"]);
    await copy(unit);
    await at().servers.target.deleteSnapshot(unit, "s2", signal);
    await copy(unit);
    await expectMirror(unit, ["s1", "s2"]);
  });

  test("a snapshot that was made anew under its old name is replaced", async ({ signal }) => {
    const unit = await createWith("volume", "local", ["s1", "s2"]);
    await copy(unit);
    await at().servers.source.deleteSnapshot(unit, "s2", signal);
    await snapshot(unit, "s2");
    await copy(unit);
    await expectMirror(unit, ["s1", "s2"]);
  });

  test("what was changed on the target by hand is gone after a refresh", async () => {
    const unit = await createWith("volume", "plain", ["s1"]);
    await copy(unit);
    await at().changeContent("target", unit, "by hand");
    await copy(unit);
    await expectMirror(unit, ["s1"]);
  });

  test("dates arrive in whole seconds for instances, and exact for volumes", async ({ signal }) => {
    const { servers } = at();
    for (const kind of ["instance", "volume"] as const) {
      const unit = await createWith(kind, "local", ["s1"]);
      await copy(unit);
      const [source] = await servers.source.snapshots(unit, signal);
      const [target] = await servers.target.snapshots(unit, signal);
      const exact = source?.createdAtExact ?? "";
      expect(target?.createdAtExact).toBe(kind === "instance" ? exact.replace(/\.\d+Z$/, "Z") : exact);
    }
  });

  test("marks, description and configuration of a replica survive a refresh", async ({ signal }) => {
    const { servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local" });
    await snapshot(unit, "s1");
    await copy(unit);
    await servers.target.patchConfig(unit, { "user.iab.last": "s1", "boot.autostart": "false" }, signal);
    await snapshot(unit, "s2");
    await copy(unit);
    const replica = await servers.target.instance(unit, signal);
    expect(replica?.config).toMatchObject({ "user.iab.last": "s1", "boot.autostart": "false" });
    expect(replica?.description).toBe("a replica");
  });

  test("marks of a volume's replica are made with it, and survive a refresh", async ({ signal }) => {
    const { servers } = at();
    const unit = await createWith("volume", "local", ["s1"]);
    const create = { contentType: "filesystem", description: "a replica", config: { "user.iab.source": "x" } };
    await copy(unit, { create });
    await snapshot(unit, "s2");
    await copy(unit);
    const replica = (await servers.target.volumes(["local"], signal)).find(({ name }) => name === unit.name);
    expect(replica).toMatchObject({ description: "a replica", config: { "user.iab.source": "x" } });
  });

  test("an expiry that was set on the source travels with the snapshot", async ({ signal }) => {
    const { raw, servers } = at();
    for (const kind of ["instance", "volume"] as const) {
      const unit = await createUnit(kind, "local");
      const body = { name: "s1", expires_at: "2055-01-01T00:00:00Z" };
      expect((await raw.source.run("POST", pathOf(unit, "/snapshots"), body)).error).toBe("");
      await copy(unit);
      const [arrived] = await servers.target.snapshots(unit, signal);
      expect(arrived?.expiresAt).toBe(Date.UTC(2055, 0, 1));
    }
  });

  test("a replica can be in a pool of another driver", async () => {
    const unit = await createWith("instance", "local", ["s1"]);
    const create = { ...copyOf(unit).create, devices: { root: { type: "disk", path: "/", pool: "plain" } } };
    await copy(unit, { create });
    await snapshot(unit, "s2");
    await copy(unit, { create });
    await expectMirror(unit, ["s1", "s2"]);
  });

  test("a replica can have another name, in another pool and project", async ({ signal }) => {
    const { servers, digest } = at();
    const unit = await at().createVolume("source", { name: fresh("data"), pool: "local" });
    await snapshot(unit, "s1");
    const target = { ...unit, project: "default", pool: "tank", name: fresh("replica") };
    try {
      await copy(unit, { target });
      expect(await names(servers.target, target, signal)).toEqual(["s1"]);
      expect(await digest("target", target, "s1")).toBe(await digest("source", unit, "s1"));
    } finally {
      await servers.target.remove(target, signal);
    }
  });

  test("a replica has an identity of its own, and keeps it", async ({ signal }) => {
    const { servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local" });
    const idOn = async (side: "source" | "target") =>
      (await servers[side].instance(unit, signal))?.config["volatile.uuid"];
    await copy(unit);
    const [source, target] = [await idOn("source"), await idOn("target")];
    expect([source === undefined, target === undefined, source === target]).toEqual([false, false, false]);
    await copy(unit);
    expect(await idOn("target")).toBe(target);
  });

  test("a running source is copied, and runs on", async ({ signal }) => {
    const { servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local" });
    await servers.source.changeState(unit, "start", { timeoutMs: 30_000, force: true }, signal);
    await servers.source.createSnapshot(unit, "s1", signal);
    await copy(unit);
    expect(await names(servers.target, unit, signal)).toEqual(["s1"]);
    expect((await servers.source.instance(unit, signal))?.status).toBe("Running");
    expect((await servers.target.instance(unit, signal))?.status).toBe("Stopped");
    await servers.source.changeState(unit, "stop", { timeoutMs: 30_000, force: true }, signal);
  });

  test("a block volume stays one, with its size in bytes", async ({ signal }) => {
    const { servers } = at();
    const wish = { name: fresh("disk"), pool: "local", contentType: "block", config: { size: "8MiB" } } as const;
    const unit = await at().createVolume("source", wish);
    await snapshot(unit, "s1");
    const create = { contentType: "block", description: "", config: { size: "8MiB" } };
    await copy(unit, { create });
    await expectMirror(unit, ["s1"]);
    const replica = (await servers.target.volumes(["local"], signal)).find(({ name }) => name === unit.name);
    expect(replica).toMatchObject({ contentType: "block", config: { size: "8388608" } });
  });
}
