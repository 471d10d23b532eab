import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { Server } from "../../src/model/ports.ts";
import { makeCertificate } from "../fakes/incus/certificate.ts";
import { RawClient } from "../fakes/incus/raw-client.ts";
import { openBoth } from "./agent.ts";
import { copyOf, fresh, inProject, names, pathOf, type Stage } from "./stage.ts";

const Volumes = z.array(z.object({ name: z.string(), used_by: z.array(z.string()) }));

/** What a certificate that is confined to one project may and may not. */
export function restrictedSuite(at: () => Stage): void {
  let raw: RawClient;
  let server: Server & { close(): Promise<void> };

  beforeAll(async () => {
    const client = makeCertificate({ commonName: "restricted" });
    await at().trust("source", client, { name: "restricted", projects: [at().project] });
    raw = new RawClient(at().raw.source.server, client);
    server = at().openAs("source", client);
  });

  afterAll(async () => {
    await server.close();
    await raw.close();
  });

  test("facts() say that it is restricted", async ({ signal }) => {
    expect(await server.facts(signal)).toMatchObject({ restricted: true });
    expect(await raw.get("/1.0")).toMatchObject({ auth: "trusted", config: {} });
  });

  test("a list of all projects holds its own", async ({ signal }) => {
    const { project } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const found = await server.instances(signal);
    expect(found.map(({ name }) => name)).toContain(unit.name);
    expect(new Set(found.map((instance) => instance.project))).toEqual(new Set([project]));
    expect(await server.projects(signal)).toMatchObject([{ name: project }]);
  });

  test("it takes and deletes snapshots, and changes configuration", async ({ signal }) => {
    const unit = await at().createInstance("source", { name: fresh("web") });
    await server.createSnapshot(unit, "s1", signal);
    await server.patchConfig(unit, { "user.x": "1" }, signal);
    expect(await names(server, unit, signal)).toEqual(["s1"]);
    await server.deleteSnapshot(unit, "s1", signal);
    const root = { unit, type: "container", pool: "local" } as const;
    await server.patchRootConfig(root, { "user.x": "2" }, signal);
    expect(await server.rootConfig(root, signal)).toMatchObject({ "user.x": "2" });
    expect(await server.halfSnapshots(root, signal)).toEqual([]);
    expect((await server.instance(unit, signal))?.config["user.x"]).toBe("1");
  });

  test("it may be the source of a migration", async () => {
    const unit = await at().createInstance("source", { name: fresh("web") });
    const sent = await raw.call("POST", pathOf(unit), { migration: true, live: false });
    expect(sent.status).toBe(202);
    expect((await raw.call("DELETE", sent.body.operation)).status).toBe(200);
  });

  test.each(["pull", "push", "relay"] as const)("it copies by %s where both sides let it", async (mode) => {
    const { raw: all, project, servers } = at();
    const client = makeCertificate({ commonName: "copier" });
    for (const side of ["source", "target"] as const)
      await at().trust(side, client, { name: "copier", projects: [project] });
    const both = openBoth(all.source.server, all.target.server, client);
    const unit = await at().createInstance("source", { name: fresh("web"), pool: "local" });
    const signal = AbortSignal.timeout(60_000);
    await both.source.createSnapshot(unit, "s1", signal);
    await both.copy(copyOf(unit, { mode }), () => {}, signal);
    expect(await names(servers.target, unit, signal)).toEqual(["s1"]);
    await both.close();
  });

  test("it makes no profile in a project that is not its own, though 6.0 lets it by way of one that borrows", async ({
    signal,
  }) => {
    const profile = { project: "default", name: fresh(`profile-${at().project}`), description: "", config: {} };
    await expect(server.createProfile(profile, signal)).rejects.toMatchObject({
      code: "incus.refused",
      hint: expect.stringContaining(`incus profile create ${profile.name} --project default`),
    });
    const answer = await raw.call("POST", inProject(at(), "/1.0/profiles"), { name: profile.name });
    expect(answer.status).toBe(at().generation === "6.0" ? 201 : 403);
    await at().raw.source.call("DELETE", `/1.0/profiles/${profile.name}`);
  });

  test("it sees the profiles and networks that its project borrows", async ({ signal }) => {
    expect(await server.profiles(signal)).toContainEqual(
      expect.objectContaining({ project: "default", name: "default" }),
    );
    expect(await server.networks(signal)).toContainEqual({ project: "default", name: "lan0" });
  });

  test("it sees who uses a volume, which a list of all projects hides from it", async ({ signal }) => {
    const { project } = at();
    const volume = await at().createVolume("source", { name: fresh("data"), pool: "plain" });
    const disk = { type: "disk", source: volume.name, pool: volume.pool, path: "/data" };
    const user = await at().createInstance("source", { name: fresh("web"), pool: "plain", devices: { data: disk } });
    const usersOf = (list: unknown) => Volumes.parse(list).find(({ name }) => name === volume.name)?.used_by;
    const list = `/1.0/storage-pools/${volume.pool}/volumes/custom?recursion=1`;
    expect(usersOf(await raw.get(`${list}&all-projects=true`))).toEqual([]);
    expect(usersOf(await raw.get(`${list}&project=${project}`))).toHaveLength(1);
    const found = (await server.volumes([volume.pool], signal)).find(({ name }) => name === volume.name);
    expect(found?.usedBy).toEqual([user]);
  });

  test("an object of another project is refused with 403", async () => {
    const answer = await raw.call("GET", "/1.0/instances/x?project=default");
    expect(answer).toMatchObject({
      status: 403,
      body: { error: 'User does not have permission for project "default"' },
    });
  });

  test("a list of another project: an error on 6.0, silently empty on 7.0", async () => {
    const isOld = at().generation === "6.0";
    const instances = await raw.call("GET", "/1.0/instances?project=default");
    const volumes = await raw.call("GET", "/1.0/storage-pools/local/volumes/custom?project=default");
    expect([instances.status, volumes.status]).toEqual(isOld ? [500, 403] : [200, 200]);
    if (!isOld) expect([instances.body.metadata, volumes.body.metadata]).toEqual([[], []]);
  });

  test("the list of pools is refused with 500 on 6.0, and pools() finds them all the same", async ({ signal }) => {
    await at().createInstance("source", { name: fresh("web"), pool: "plain" });
    const answer = await raw.call("GET", "/1.0/storage-pools?recursion=1");
    expect(answer.status).toBe(at().generation === "6.0" ? 500 : 200);
    if (at().generation === "6.0") expect(answer.body.error).toBe("Certificate is restricted");
    expect(await server.pools([], signal)).toContainEqual({ name: "plain", driver: "dir" });
  });

  test("one pool is read, without its configuration", async () => {
    expect(await raw.get("/1.0/storage-pools/local")).toMatchObject({ driver: "btrfs", config: null });
    expect(await raw.get("/1.0/storage-pools/local/resources")).toMatchObject({ space: { total: expect.any(Number) } });
  });

  test.each([
    { path: "/1.0/projects", body: { name: "forbidden" } },
    { path: "/1.0/storage-pools", body: { name: "forbidden", driver: "dir" } },
    { path: "/1.0/certificates", body: { type: "client", name: "forbidden", token: true } },
  ])("POST $path is refused with 403", async ({ path, body }) => {
    expect((await raw.call("POST", path, body)).status).toBe(403);
  });

  test("it sees all certificates", async () => {
    const all = (await raw.get("/1.0/certificates?recursion=1")) as { fingerprint: string }[];
    expect(all.map(({ fingerprint }) => fingerprint)).toContain(at().raw.source.certificate.fingerprint);
  });

  test("it hears of its project's operations, and not of anything with logging in it", async ({ signal }) => {
    const unit = await at().createInstance("source", { name: fresh("web") });
    const socket = raw.socket(inProject(at(), "/1.0/events?type=operation"));
    const heard = once(socket, "message");
    await once(socket, "open");
    await server.createSnapshot(unit, "s1", signal);
    expect(JSON.parse(String((await heard)[0]))).toMatchObject({ type: "operation", project: at().project });
    socket.terminate();
    const everything = raw.socket("/1.0/events?type=operation&all-projects=true");
    await once(everything, "open");
    everything.terminate();
    const [error] = (await once(raw.socket("/1.0/events?type=logging"), "error")) as [Error];
    expect(error.message).toBe("Unexpected server response: 403");
  });

  test("IncusOS is not to be reached: 404 on 6.0, 403 on 7.0", async () => {
    expect((await raw.call("GET", "/os/1.0")).status).toBe(at().generation === "6.0" ? 404 : 403);
  });
}
