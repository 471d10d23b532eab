import { expect, test } from "vitest";
import type { InstanceUnit, Unit } from "../../src/model/unit.ts";
import { copyOf, fresh, inProject, names, pathOf, type Stage } from "./stage.ts";

const GENTLY = { timeoutMs: 30_000, force: true };

/** State, configuration, names, and the end of units. */
export function changeSuite(at: () => Stage): void {
  const statusOf = async (unit: InstanceUnit, signal: AbortSignal) =>
    (await at().servers.source.instance(unit, signal))?.status;

  test("changeState() starts, freezes, unfreezes and stops", async ({ signal }) => {
    const { servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const steps = [
      ["start", "Running"],
      ["freeze", "Frozen"],
      ["unfreeze", "Running"],
      ["stop", "Stopped"],
    ] as const;
    for (const [change, status] of steps) {
      await servers.source.changeState(unit, change, GENTLY, signal);
      expect(await statusOf(unit, signal)).toBe(status);
    }
  });

  test("createProfile() makes an empty one, and leaves alone what is there under its name", async ({ signal }) => {
    const { servers, raw, project } = at();
    const profile = { project: "default", name: fresh(`profile-${project}`), description: "one", config: {} };
    const read = () => raw.source.get(`/1.0/profiles/${profile.name}`);
    await servers.source.createProfile({ ...profile, config: { "user.x": "1" } }, signal);
    expect(await read()).toMatchObject({ description: "one", config: { "user.x": "1" }, devices: {} });
    await servers.source.createProfile({ ...profile, description: "another" }, signal);
    expect(await read()).toMatchObject({ description: "one", config: { "user.x": "1" } });
    await raw.source.call("DELETE", `/1.0/profiles/${profile.name}`);
  });

  test("what is in the state that is asked for already is refused in so many words", async ({ signal }) => {
    const { raw, servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const change = async (action: string) =>
      (await raw.source.run("PUT", pathOf(unit, "/state"), { action, timeout: 30 })).error;
    expect(await change("stop")).toBe("The instance is already stopped");
    expect(await change("freeze")).toBe("The instance isn't running");
    await servers.source.changeState(unit, "start", GENTLY, signal);
    expect(await change("start")).toBe("The instance is already running");
    expect(await change("unfreeze")).toBe("The container is already running");
    await servers.source.changeState(unit, "stop", GENTLY, signal);
  });

  test("an action that nobody knows is refused with 400", async () => {
    const unit = await at().createInstance("source", { name: fresh("web") });
    const answer = await at().raw.source.call("PUT", pathOf(unit, "/state"), { action: "hop" });
    expect(answer).toMatchObject({ status: 400, body: { error: "Unknown action: 'hop'" } });
  });

  test("patchConfig() of an instance sets and removes keys, and leaves the description", async ({ signal }) => {
    const { servers } = at();
    const config = { "user.old": "1", "user.stays": "2" };
    const unit = await at().createInstance("source", { name: fresh("web"), config, description: "mine" });
    await servers.source.patchConfig(unit, { "user.new": "3", "user.old": "" }, signal);
    const found = await servers.source.instance(unit, signal);
    expect(found?.config).toMatchObject({ "user.new": "3", "user.stays": "2" });
    expect(found?.config).not.toHaveProperty(["user.old"]);
    expect(found?.description).toBe("mine");
  });

  test("makeLasting() has an ephemeral instance stay when it is stopped, and no refresh undoes it", async ({
    signal,
  }) => {
    const { servers, raw } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local" });
    await servers.source.createSnapshot(unit, "s1", signal);
    await servers.copy(copyOf(unit), () => {}, signal);
    const isEphemeral = async (side: "source" | "target") => (await servers[side].instance(unit, signal))?.ephemeral;
    for (const side of ["source", "target"] as const)
      expect((await raw[side].run("PATCH", pathOf(unit), { description: "a replica", ephemeral: true })).error).toBe(
        "",
      );
    expect(await isEphemeral("target")).toBe(true);
    await servers.target.makeLasting(unit, signal);
    await at().nextSecond();
    await servers.source.createSnapshot(unit, "s2", signal);
    await servers.copy(copyOf(unit), () => {}, signal);
    expect([await isEphemeral("source"), await isEphemeral("target")]).toEqual([true, false]);
    expect((await servers.target.instance(unit, signal))?.description).toBe("a replica");
  });

  test("patchConfig() of a volume does the same", async ({ signal }) => {
    const { servers } = at();
    const config = { "user.old": "1", "user.stays": "2" };
    const unit = await at().createVolume("source", { name: fresh("data"), pool: "local", config, description: "mine" });
    await servers.source.patchConfig(unit, { "user.new": "3", "user.old": "" }, signal);
    const found = (await servers.source.volumes(["local"], signal)).find(({ name }) => name === unit.name);
    expect(found).toMatchObject({ config: { "user.new": "3", "user.stays": "2" }, description: "mine" });
    expect(found?.config).not.toHaveProperty(["user.old"]);
  });

  test("a PATCH without a description blanks a volume's always, an instance's on 6.0", async () => {
    const { raw, generation } = at();
    const instance = await at().createInstance("source", { name: fresh("web"), description: "mine" });
    const volume = await at().createVolume("source", { name: fresh("data"), pool: "local", description: "mine" });
    const described = async (unit: Unit) => {
      await raw.source.call("PATCH", pathOf(unit), { config: { "user.x": "1" } });
      return ((await raw.source.get(pathOf(unit))) as { description: string }).description;
    };
    expect(await described(instance)).toBe(generation === "6.0" ? "" : "mine");
    expect(await described(volume)).toBe("");
  });

  test("patchRootConfig() sets keys of a root volume and leaves the others, and the instance as it is", async ({
    signal,
  }) => {
    const { servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "plain", config: { "user.x": "1" } });
    const root = { unit, type: "container", pool: "plain" } as const;
    await servers.source.patchRootConfig(root, { "user.iab.kept": '["a"]' }, signal);
    await servers.source.patchRootConfig(root, { "user.other": "2" }, signal);
    expect(await servers.source.rootConfig(root, signal)).toMatchObject({
      "user.iab.kept": '["a"]',
      "user.other": "2",
    });
    expect((await servers.source.instance(unit, signal))?.config).not.toHaveProperty(["user.iab.kept"]);
    const elsewhere = { ...root, unit: { ...unit, name: "missing" } };
    expect(await servers.source.rootConfig(elsewhere, signal)).toBeUndefined();
    await servers.source.createSnapshot(unit, "s1", signal);
    expect(await servers.source.halfSnapshots(root, signal)).toEqual([]);
    expect(await servers.source.halfSnapshots(elsewhere, signal)).toEqual([]);
    await expect(servers.source.patchRootConfig(elsewhere, { "user.x": "" }, signal)).rejects.toMatchObject({
      status: 404,
    });
  });

  test("a PATCH of a root volume is refused with 400: only a PUT changes it", async () => {
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "plain" });
    const path = inProject(at(), `/1.0/storage-pools/plain/volumes/container/${unit.name}`);
    const answer = await at().raw.source.call("PATCH", path, { config: { "user.x": "1" } });
    expect(answer).toMatchObject({
      status: 400,
      body: { error: expect.stringMatching(/Invalid storage volume type/) },
    });
  });

  test("what stands on a root volume outlives a refresh, renaming, and a change of all the instance's keys", async ({
    signal,
  }) => {
    const { servers, raw } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local" });
    await servers.source.createSnapshot(unit, "s1", signal);
    await servers.copy(copyOf(unit), () => {}, AbortSignal.timeout(60_000));
    const root = { unit, type: "container", pool: "local" } as const;
    await servers.target.patchRootConfig(root, { "user.iab.kept": "[]" }, signal);
    await servers.copy(copyOf(unit), () => {}, AbortSignal.timeout(60_000));
    const devices = { root: { type: "disk", path: "/", pool: "local" } };
    await raw.target.run("PUT", pathOf(unit), { architecture: "x86_64", config: {}, devices, profiles: ["default"] });
    const name = fresh("renamed");
    await servers.target.rename(unit, name, signal);
    const renamed = { ...root, unit: { ...unit, name } };
    expect(await servers.target.rootConfig(renamed, signal)).toMatchObject({ "user.iab.kept": "[]" });
  });

  test("patchDevices() sets the named devices and leaves the others", async ({ signal }) => {
    const { servers } = at();
    const disk = { type: "disk", path: "/", pool: "local" };
    const none = { type: "none" };
    const unit = await at().createInstance("source", { name: fresh("web"), devices: { root: disk, eth7: none } });
    await servers.source.patchDevices(unit, { eth8: none }, signal);
    expect((await servers.source.instance(unit, signal))?.devices).toEqual({ root: disk, eth7: none, eth8: none });
  });

  test("rename() moves a stopped instance with its snapshots", async ({ signal }) => {
    const { servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    await servers.source.createSnapshot(unit, "s1", signal);
    const name = fresh("renamed");
    await servers.source.rename(unit, name, signal);
    expect(await servers.source.instance(unit, signal)).toBeUndefined();
    expect(await names(servers.source, { ...unit, name }, signal)).toEqual(["s1"]);
  });

  test("rename() of a volume takes its instances along", async ({ signal }) => {
    const { servers } = at();
    const volume = await at().createVolume("source", { name: fresh("data"), pool: "local" });
    const disk = { type: "disk", pool: "local", source: volume.name, path: "/mnt" };
    const user = await at().createInstance("source", { name: fresh("web"), devices: { disk } });
    const name = fresh("renamed");
    await servers.source.rename(volume, name, signal);
    expect((await servers.source.instance(user, signal))?.devices["disk"]).toEqual({ ...disk, source: name });
  });

  test("remove() deletes a unit with its snapshots", async ({ signal }) => {
    const { servers } = at();
    const instance = await at().createInstance("source", { name: fresh("web") });
    const volume = await at().createVolume("source", { name: fresh("data"), pool: "plain" });
    for (const unit of [instance, volume]) {
      await servers.source.createSnapshot(unit, "s1", signal);
      await servers.source.remove(unit, signal);
      await expect(servers.source.snapshots(unit, signal)).rejects.toMatchObject({ status: 404 });
    }
  });

  test("remove() of a running instance is refused with 400", async ({ signal }) => {
    const { servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    await servers.source.changeState(unit, "start", GENTLY, signal);
    await expect(servers.source.remove(unit, signal)).rejects.toMatchObject({ status: 400 });
    await servers.source.changeState(unit, "stop", GENTLY, signal);
  });

  test("remove() of a protected instance fails, and deletes nothing", async ({ signal }) => {
    const { servers } = at();
    const config = { "security.protection.delete": "true" };
    const unit = await at().createInstance("source", { name: fresh("web"), config });
    await servers.source.createSnapshot(unit, "s1", signal);
    await expect(servers.source.remove(unit, signal)).rejects.toThrow(
      /Instance is protected|delete protection enabled/,
    );
    expect(await names(servers.source, unit, signal)).toEqual(["s1"]);
  });

  test("remove() of a volume that an instance uses is refused with 400", async ({ signal }) => {
    const { servers } = at();
    const volume = await at().createVolume("source", { name: fresh("data"), pool: "local" });
    const disk = { type: "disk", pool: "local", source: volume.name, path: "/mnt" };
    await at().createInstance("source", { name: fresh("web"), devices: { disk } });
    await expect(servers.source.remove(volume, signal)).rejects.toMatchObject({ status: 400 });
  });

  test("a restored snapshot brings content and configuration back", async ({ signal }) => {
    const { servers, raw, digest, changeContent } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), config: { "user.x": "old" } });
    const before = await digest("source", unit);
    await servers.source.createSnapshot(unit, "s1", signal);
    await changeContent("source", unit, "new");
    await servers.source.patchConfig(unit, { "user.x": "new" }, signal);
    expect((await raw.source.run("PUT", pathOf(unit), { restore: "s1" })).error).toBe("");
    expect(await digest("source", unit)).toBe(before);
    expect((await servers.source.instance(unit, signal))?.config["user.x"]).toBe("old");
  });

  test("a local copy of a snapshot is a unit of its own, with that content and no snapshots", async ({ signal }) => {
    const { servers, raw, digest, changeContent, project } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    await servers.source.createSnapshot(unit, "s1", signal);
    await changeContent("source", unit, "new");
    const name = fresh("archive");
    const source = { type: "copy", source: `${unit.name}/s1` };
    expect((await raw.source.run("POST", `/1.0/instances?project=${project}`, { name, source })).error).toBe("");
    const archive = { ...unit, name };
    expect(await digest("source", archive)).toBe(await digest("source", unit, "s1"));
    expect(await names(servers.source, archive, signal)).toEqual([]);
  });

  test("so is a local copy of a volume's snapshot", async ({ signal }) => {
    const { servers, raw, digest, changeContent, project } = at();
    const unit = await at().createVolume("source", { name: fresh("data"), pool: "local" });
    await servers.source.createSnapshot(unit, "s1", signal);
    await changeContent("source", unit, "new");
    const name = fresh("archive");
    const source = { type: "copy", name: `${unit.name}/s1`, pool: "local", volume_only: true };
    const body = { name, type: "custom", content_type: "filesystem", source };
    const path = `/1.0/storage-pools/local/volumes/custom?project=${project}`;
    expect((await raw.source.run("POST", path, body)).error).toBe("");
    const archive = { ...unit, name };
    expect(await digest("source", archive)).toBe(await digest("source", unit, "s1"));
    expect(await names(servers.source, archive, signal)).toEqual([]);
  });
}
