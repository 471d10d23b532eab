import { expect, test } from "vitest";
import { unitId } from "../../src/model/unit.ts";
import { fresh, inProject, pathOf, type Stage } from "./stage.ts";

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

/** What is there, in few requests, and the errors about what is not. */
export function listingSuite(at: () => Stage): void {
  test("instances() gives all projects' instances with profiles, devices and snapshots, oldest first", async ({
    signal,
  }) => {
    const { servers, createInstance, project } = at();
    const unit = await createInstance("source", { name: fresh("web"), config: { "user.x": "1" }, description: "mine" });
    for (const name of ["zz", "aa"]) await servers.source.createSnapshot(unit, name, signal);
    const found = (await servers.source.instances(signal)).find(({ name }) => name === unit.name);
    expect(found).toMatchObject({ project, type: "container", status: "Stopped", description: "mine" });
    expect(found).toMatchObject({ architecture: "x86_64", ephemeral: false, location: "", profiles: ["default"] });
    expect(found?.config["user.x"]).toBe("1");
    expect(found?.devices).toEqual({});
    expect(found?.expandedDevices["root"]).toMatchObject({ type: "disk", path: "/", pool: "local" });
    expect(found?.snapshots.map(({ name }) => name)).toEqual(["zz", "aa"]);
  });

  test("an instance without snapshots has none, not null", async ({ signal }) => {
    const unit = await at().createInstance("source", { name: fresh("web") });
    const found = (await at().servers.source.instances(signal)).find(({ name }) => name === unit.name);
    expect(found?.snapshots).toEqual([]);
  });

  test("instance() reads one with its snapshots, and undefined where there is none", async ({ signal }) => {
    const { servers, createInstance, project } = at();
    const unit = await createInstance("source", { name: fresh("web") });
    await servers.source.createSnapshot(unit, "s1", signal);
    expect(await servers.source.instance(unit, signal)).toMatchObject({ ...unit, snapshots: [{ name: "s1" }] });
    expect(await servers.source.instance({ ...unit, name: "missing", project }, signal)).toBeUndefined();
  });

  test("clock() tells what time it is there", async ({ signal }) => {
    const there = (await at().servers.source.clock(signal)) ?? 0;
    expect(Math.abs(there - Date.now())).toBeLessThan(10_000);
  });

  test("space() tells how much room a pool has", async ({ signal }) => {
    const { usedBytes, totalBytes } = (await at().servers.source.space("plain", signal)) ?? {
      usedBytes: -1,
      totalBytes: 0,
    };
    expect(usedBytes).toBeGreaterThanOrEqual(0);
    expect(totalBytes).toBeGreaterThan(usedBytes);
    await expect(at().servers.source.space("none", signal)).rejects.toMatchObject({
      code: "incus.refused",
      status: 500,
    });
  });

  test("describe() gives all that the server says of a unit, its snapshots too", async ({ signal }) => {
    const { servers, createInstance, createVolume, project } = at();
    const instance = await createInstance("source", { name: fresh("web"), config: { "user.x": "1" } });
    const volume = await createVolume("source", { name: fresh("data"), pool: "local", description: "mine" });
    for (const unit of [instance, volume]) await servers.source.createSnapshot(unit, "s1", signal);
    const ofInstance = await servers.source.describe(instance, signal);
    expect(ofInstance).toMatchObject({ name: instance.name, project, config: { "user.x": "1" } });
    expect(ofInstance).toMatchObject({ expanded_devices: { root: { type: "disk" } }, snapshots: [{ name: "s1" }] });
    const ofVolume = await servers.source.describe(volume, signal);
    expect(ofVolume).toMatchObject({ name: volume.name, description: "mine", content_type: "filesystem" });
    expect(ofVolume["snapshots"]).toHaveLength(1);
    const missing = servers.source.describe({ ...volume, name: "missing" }, signal);
    await expect(missing).rejects.toMatchObject({ code: "incus.refused", status: 404 });
  });

  test("volumes() gives all projects' custom volumes with their snapshots by bare names", async ({ signal }) => {
    const { servers, createVolume, project } = at();
    const unit = await createVolume("source", { name: fresh("data"), pool: "plain", description: "mine" });
    for (const name of ["zz", "aa"]) await servers.source.createSnapshot(unit, name, signal);
    const found = (await servers.source.volumes(["local", "plain"], signal)).find(({ name }) => name === unit.name);
    expect(found).toMatchObject({ project, pool: "plain", contentType: "filesystem", description: "mine" });
    expect(found?.snapshots.map(({ name }) => name)).toEqual(["zz", "aa"]);
    expect(found?.snapshots[0]?.createdAtExact).toMatch(MOMENT);
  });

  test("volumes() names the instances that use a volume", async ({ signal }) => {
    const { servers, project } = at();
    const volume = await at().createVolume("source", { name: fresh("data"), pool: "local" });
    const disk = { type: "disk", pool: "local", source: volume.name, path: "/mnt" };
    const user = await at().createInstance("source", { name: fresh("web"), devices: { disk } });
    const found = (await servers.source.volumes(["local"], signal)).find(({ name }) => name === volume.name);
    expect(found?.usedBy).toEqual([{ kind: "instance", project, name: user.name }]);
  });

  test("usage() knows nothing where a driver counts otherwise than what is sent, or not at all", async ({ signal }) => {
    const { servers } = at();
    for (const pool of ["local", "plain"]) {
      const web = await at().createInstance("source", { name: fresh("web"), pool });
      const data = await at().createVolume("source", { name: fresh("data"), pool });
      expect(await servers.source.usage(web, signal)).toBeUndefined();
      expect(await servers.source.usage(data, signal)).toBeUndefined();
    }
  });

  test("pools(), projects(), profiles() and networks() give what there is", async ({ signal }) => {
    const { servers, project } = at();
    const pools = await servers.source.pools([], signal);
    expect(pools).toEqual(
      expect.arrayContaining([
        { name: "local", driver: "btrfs" },
        { name: "plain", driver: "dir" },
      ]),
    );
    const own = (await servers.source.projects(signal)).find(({ name }) => name === project);
    expect(own).toMatchObject({ ownVolumes: true, ownProfiles: false });
    const [profile] = await servers.source.profiles(signal);
    expect(profile).toMatchObject({ project: "default", name: "default", devices: { root: { pool: "local" } } });
    expect(await servers.source.networks(signal)).toContainEqual({ project: "default", name: "lan0" });
  });

  test("6.0 lists a volume's snapshots as volumes, 7.0 leaves them out of recursion 1", async ({ signal }) => {
    const { raw, servers, generation } = at();
    const unit = await at().createVolume("source", { name: fresh("data"), pool: "tank" });
    await servers.source.createSnapshot(unit, "s1", signal);
    const list = await raw.source.get(inProject(at(), "/1.0/storage-pools/tank/volumes/custom?recursion=1"));
    const found = (list as { name: string }[]).map(({ name }) => name).filter((name) => name.startsWith(unit.name));
    expect(found).toEqual(generation === "6.0" ? [unit.name, `${unit.name}/s1`] : [unit.name]);
  });

  test("a volume's snapshots are listed with its name before theirs, and read alone without", async ({ signal }) => {
    const { raw, servers } = at();
    const unit = await at().createVolume("source", { name: fresh("data"), pool: "plain" });
    await servers.source.createSnapshot(unit, "s1", signal);
    const list = await raw.source.get(`${pathOf(unit, "/snapshots")}&recursion=1`);
    expect(list).toMatchObject([{ name: `${unit.name}/s1`, expires_at: null }]);
    const one = await raw.source.get(pathOf(unit, "/snapshots/s1"));
    expect(one).toMatchObject({ name: "s1", expires_at: "0001-01-01T00:00:00Z" });
  });

  test("a list of instances in a project that is not there is empty, and no error", async () => {
    const answer = await at().raw.source.call("GET", "/1.0/instances?project=missing");
    expect(answer).toMatchObject({ status: 200, body: { metadata: [] } });
  });

  const missing = [
    { path: "/1.0/instances/x?project=missing", error: "Project not found" },
    { path: "/1.0/storage-pools/local/volumes/custom?project=missing", error: "Project not found" },
    { path: "/1.0/projects/missing", error: "Project not found" },
    { path: "/1.0/instances/x", error: 'Failed to fetch instance "x" in project "default": Instance not found' },
    { path: "/1.0/storage-pools/missing", error: "Storage pool not found" },
    { path: "/1.0/storage-pools/missing/volumes/custom", error: "Storage pool not found" },
    { path: "/1.0/storage-pools/local/volumes/custom/x", error: "Storage pool volume not found" },
    { path: "/1.0/operations/11111111-2222-4333-8444-555555555555", error: "Operation not found" },
    { path: "/1.0/nonsense", error: "not found" },
  ];
  test.each(missing)("GET $path is 404: $error", async ({ path, error }) => {
    expect(await at().raw.source.call("GET", path)).toMatchObject({ status: 404, body: { type: "error", error } });
  });

  test("a project together with all projects is refused with 400", async () => {
    const answer = await at().raw.source.call("GET", "/1.0/instances?all-projects=true&project=default");
    expect(answer.status).toBe(400);
  });

  test("a server of its own knows no members", async () => {
    const { raw } = at();
    expect((await raw.source.call("GET", "/1.0/cluster/members")).body.error).toBe("Server is not clustered");
    const body = { name: fresh("new"), architecture: "x86_64", source: { type: "none" } };
    const answer = await raw.source.call("POST", inProject(at(), "/1.0/instances?target=m1"), body);
    expect(answer).toMatchObject({ status: 400, body: { error: "Target only allowed when clustered" } });
  });

  test("a body of more than 1 MiB is refused with 400 on 7.0", async () => {
    const { raw, generation } = at();
    const name = fresh("big");
    const body = { name, description: "x".repeat(1024 * 1024), config: { "features.networks": "false" } };
    const answer = await raw.source.call("POST", "/1.0/projects", body);
    expect(answer.status).toBe(generation === "6.0" ? 201 : 400);
    if (generation === "6.0") await raw.source.call("DELETE", `/1.0/projects/${name}`);
  });

  test("a filter selects by name and by keys of the configuration, and nonsense is refused with 400", async () => {
    const { raw } = at();
    const unit = await at().createInstance("source", { name: fresh("web"), config: { "user.pick": fresh("me") } });
    const other = await at().createInstance("source", { name: fresh("web") });
    const pick = (filter: string) =>
      raw.source.call("GET", inProject(at(), `/1.0/instances?recursion=1&filter=${encodeURIComponent(filter)}`));
    expect((await pick(`name eq ${other.name}`)).body.metadata).toMatchObject([{ name: other.name }]);
    const { config } = (await raw.source.get(pathOf(unit))) as { config: Record<string, string> };
    expect((await pick(`config.user.pick eq ${config["user.pick"]}`)).body.metadata).toMatchObject([
      { name: unit.name },
    ]);
    expect((await pick("nonsense")).status).toBe(400);
  });

  test("a project without volumes of its own shows those of default", async () => {
    const { raw } = at();
    const name = fresh("borrower");
    const config = { "features.storage.volumes": "false", "features.profiles": "false", "features.images": "false" };
    expect((await raw.source.run("POST", "/1.0/projects", { name, config })).error).toBe("");
    const volume = fresh("data");
    const list = "/1.0/storage-pools/plain/volumes/custom";
    await raw.source.run("POST", `${list}?project=${name}`, { name: volume, type: "custom", config: {} });
    const seen = await raw.source.get(`${list}?project=${name}&recursion=1`);
    expect(seen).toContainEqual(expect.objectContaining({ name: volume, project: "default" }));
    await raw.source.run("DELETE", `${list}/${volume}`);
    expect((await raw.source.run("DELETE", `/1.0/projects/${name}`)).error).toBe("");
  });

  test("isBusy() is true while a transfer waits for its connections, and false again", async ({ signal }) => {
    const { raw, servers } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    expect(await servers.source.isBusy(unit, signal)).toBe(false);
    const sent = await raw.source.call("POST", pathOf(unit), { migration: true, live: false });
    expect(await servers.source.isBusy(unit, signal)).toBe(true);
    expect((await servers.source.busy(signal)).map(unitId)).toContain(unitId(unit));
    expect((await raw.source.call("DELETE", sent.body.operation)).status).toBe(200);
    await raw.source.endOf(sent);
    await expect.poll(() => servers.source.isBusy(unit, signal)).toBe(false);
  });

  test("a change made for an older state of an object is refused with 412", async () => {
    const { raw } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const { etag } = (await raw.source.call("GET", pathOf(unit))).headers;
    const change = (key: string) => ({ config: { [key]: "1" }, description: "" });
    const first = await raw.source.call("PATCH", pathOf(unit), change("user.a"), { "if-match": etag });
    expect(first.status).toBe(200);
    const second = await raw.source.call("PATCH", pathOf(unit), change("user.b"), { "if-match": etag });
    expect(second.status).toBe(412);
  });
}
