import { expect, test } from "vitest";
import type { InstanceUnit, Unit, VolumeUnit } from "../../src/model/unit.ts";
import { copyByHand, type HandCopy } from "../fakes/incus/copy-by-hand.ts";
import { copyOf, differences, fresh, inProject, names, pathOf, type Stage } from "./stage.ts";

const ignore = (): void => {};
const ROOT = { root: { type: "disk", path: "/", pool: "local" } };

/** What a copy is refused for, how it fails, and what is left then. */
export function refusalSuite(at: () => Stage): void {
  const instance = (name = fresh("web")): Promise<InstanceUnit> =>
    at().createInstance("source", { name, pool: "local" });
  const volume = (): Promise<VolumeUnit> => at().createVolume("source", { name: fresh("data"), pool: "local" });

  const copy = (unit: Unit, changes = {}): Promise<unknown> =>
    at().servers.copy({ ...copyOf(unit), ...changes }, ignore, AbortSignal.timeout(60_000));

  /** A copy with flags that the agent never sends. */
  const byHand = (unit: Unit, more: Partial<HandCopy> = {}) => {
    const { raw } = at();
    const isInstance = unit.kind === "instance";
    const body = { name: unit.name, architecture: "x86_64", ...(isInstance ? { devices: ROOT } : {}) };
    const to = inProject(at(), isInstance ? "instances" : `storage-pools/${unit.pool}/volumes/custom`);
    const from = pathOf(unit).replace("/1.0/", "");
    return copyByHand({ source: raw.source, target: raw.target, mode: "pull", from, to, body, ...more });
  };

  const sink = (body: object) => {
    const whole = { name: fresh("new"), type: "container", architecture: "x86_64", devices: ROOT, ...body };
    return at().raw.target.call("POST", inProject(at(), "/1.0/instances"), whole);
  };
  const waiting = { type: "migration", mode: "push", refresh: true };

  test("a running replica is refused at once, and stays as it was", async ({ signal }) => {
    const { servers } = at();
    const unit = await instance();
    await servers.source.createSnapshot(unit, "s1", signal);
    await copy(unit);
    await servers.target.changeState(unit, "start", { timeoutMs: 30_000, force: true }, signal);
    await servers.source.deleteSnapshot(unit, "s1", signal);
    await expect(copy(unit)).rejects.toThrow("Instance is running");
    expect(await names(servers.target, unit, signal)).toEqual(["s1"]);
    await servers.target.changeState(unit, "stop", { timeoutMs: 30_000, force: true }, signal);
  });

  test("a replica that another transfer holds is busy", async () => {
    const unit = await instance();
    await copy(unit);
    const body = { name: unit.name, source: waiting };
    const first = await sink(body);
    expect(first.status).toBe(202);
    expect((await sink(body)).body.error).toContain('Instance is busy running a "create" operation');
    // A sink of 6.0 cannot be cancelled: it ends when somebody comes and goes.
    const { metadata: secrets } = first.body.metadata as { metadata: Record<string, string> };
    for (const secret of Object.values(secrets)) {
      const socket = at().raw.target.socket(`${first.body.operation}/websocket?secret=${secret}`);
      socket.on("open", () => socket.terminate());
    }
    expect(await at().raw.target.endOf(first)).not.toBe("");
  });

  test("instance_only deletes all snapshots of the replica", async ({ signal }) => {
    const { servers } = at();
    const unit = await instance();
    await servers.source.createSnapshot(unit, "s1", signal);
    await copy(unit);
    expect(await byHand(unit, { flags: { instance_only: true } })).toEqual({ source: "", target: "" });
    expect(await names(servers.target, unit, signal)).toEqual([]);
  });

  test("volume_only does the same to a volume", async ({ signal }) => {
    const { servers } = at();
    const unit = await volume();
    await servers.source.createSnapshot(unit, "s1", signal);
    await copy(unit);
    expect(await byHand(unit, { flags: { volume_only: true } })).toEqual({ source: "", target: "" });
    expect(await names(servers.target, unit, signal)).toEqual([]);
  });

  test("a refresh writes the pool that it names into the root disk, wherever the data is", async ({ signal }) => {
    const { servers } = at();
    const unit = await instance();
    await copy(unit);
    const body = { name: unit.name, architecture: "x86_64", devices: { root: { ...ROOT.root, pool: "plain" } } };
    await byHand(unit, { body });
    expect((await servers.target.instance(unit, signal))?.devices["root"]?.["pool"]).toBe("plain");
    await byHand(unit);
    expect((await servers.target.instance(unit, signal))?.devices["root"]?.["pool"]).toBe("local");
  });

  test.each(["control", "fs"] as const)(
    "a relay that hangs up on %s fails both, and the next refresh heals",
    async (on) => {
      const { servers, nextSecond } = at();
      const signal = AbortSignal.timeout(60_000);
      const unit = await instance();
      await servers.source.createSnapshot(unit, "s1", signal);
      await copy(unit);
      await nextSecond();
      await servers.source.createSnapshot(unit, "s2", signal);
      const ended = await byHand(unit, { mode: "relay", hangUpOn: on });
      expect([ended.source === "", ended.target === ""]).toEqual([false, false]);
      expect(await names(servers.target, unit, signal)).toEqual(["s1"]);
      await copy(unit);
      expect(await differences(at(), unit, signal)).toEqual([]);
    },
  );

  test("a target that cannot reach its source says so, and a new replica is gone again", async ({ signal }) => {
    const { servers } = at();
    const unit = await instance();
    const nowhere = { operation: "https://127.0.0.1:9/1.0/operations/x" };
    const started = await byHandUntilTarget(unit, nowhere);
    expect(started).toContain("Failed waiting for migration control connection on target: Unable to connect to");
    expect(await servers.target.instance(unit, signal)).toBeUndefined();
  });

  test("a certificate of another server is not accepted from the source", async () => {
    const unit = await instance();
    const certificate = at().raw.target.server.certificate;
    expect(await byHandUntilTarget(unit, { certificate })).toContain("x509: certificate signed by unknown authority");
  });

  test("a wrong secret is a bad handshake", async () => {
    const unit = await instance();
    const secrets = { control: "0".repeat(64), fs: "0".repeat(64) };
    expect(await byHandUntilTarget(unit, { secrets })).toContain("websocket: bad handshake");
  });

  /** Starts both ends with something wrong in the target's, ends the source, and gives the target's error. */
  const byHandUntilTarget = async (unit: InstanceUnit, wrong: object): Promise<string> => {
    const { raw } = at();
    const sent = await raw.source.call("POST", pathOf(unit), { migration: true, live: false });
    const { metadata: secrets } = sent.body.metadata as { metadata: object };
    const { url, certificate } = raw.source.server;
    const operation = `${url}${sent.body.operation}`;
    const source = { type: "migration", mode: "pull", refresh: true, operation, certificate, secrets, ...wrong };
    const started = await sink({ name: unit.name, source });
    const error = await raw.target.endOf(started);
    await raw.source.call("DELETE", sent.body.operation);
    return error;
  };

  const bodies = [
    { title: "no mode", body: { source: { type: "migration" } }, status: 501, error: 'Mode "" not implemented' },
    {
      title: "no secret",
      body: { source: { type: "migration", mode: "pull", operation: "https://127.0.0.1:9/1.0/operations/x" } },
      status: 500,
      error: "connection secret missing from migration sink target request",
    },
    {
      title: "no architecture",
      body: { architecture: "", source: waiting },
      status: 400,
      error: "Architecture isn't supported: ",
    },
    {
      title: "a profile that is not there",
      body: { profiles: ["missing"], source: waiting },
      status: 500,
      error: 'Requested profile "missing" doesn\'t exist',
    },
    {
      title: "a network that is not there",
      body: { devices: { ...ROOT, eth0: { type: "nic", network: "missing" } }, source: waiting },
      status: 500,
      error: "Network not found",
    },
    {
      title: "a folder of the host that is not there",
      body: { devices: { ...ROOT, d: { type: "disk", path: "/d", source: "/missing" } }, source: waiting },
      status: 500,
      error: 'Missing source path "/missing" for disk "d"',
    },
    {
      title: "no pool anywhere",
      body: { devices: {}, profiles: [], source: waiting },
      status: 400,
      error: "Can't find a storage pool for the instance to use",
    },
  ];
  test.each(bodies)("a new instance with $title is refused with $status", async ({ body, status, error }) => {
    const answer = await sink(body);
    expect(answer.body.error).toContain(error);
    expect(answer.status).toBe(status);
  });

  test("a disk whose volume is not there: refused on 6.0, a replica that cannot start on 7.0", async () => {
    const { raw, generation } = at();
    const unit = await instance();
    const d = { type: "disk", path: "/d", pool: "local", source: "missing" };
    const copied = copy(unit, { create: { ...copyOf(unit).create, devices: { ...ROOT, d } } });
    if (generation === "6.0") return await expect(copied).rejects.toThrow("Storage volume not found");
    await copied;
    const started = await raw.target.run("PUT", pathOf(unit, "/state"), { action: "start" });
    expect(started.error).toContain("Storage volume not found");
  });

  test("a migration without refresh onto what is there: 500 for an instance, 409 for a volume", async () => {
    const { raw } = at();
    const [there, data] = [await instance(), await volume()];
    for (const unit of [there, data]) await copy(unit);
    const source = { ...waiting, refresh: false };
    const again = await sink({ name: there.name, source });
    expect(again).toMatchObject({ status: 500 });
    expect(again.body.error).toMatch(/UNIQUE constraint failed: instances.project_id|"Instance" entry already exists/);
    const list = inProject(at(), "/1.0/storage-pools/local/volumes/custom");
    const twice = await raw.target.call("POST", list, { name: data.name, type: "custom", source });
    expect(twice).toMatchObject({ status: 409, body: { error: "Volume by that name already exists" } });
  });

  test("a volume's source needs its name", async () => {
    const answer = await at().raw.source.call("POST", pathOf(await volume()), { migration: true, pool: "local" });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatch(/No name provided|Names must start and end/);
  });

  test("a source that is not there is refused with 404", async () => {
    await expect(copy({ ...(await instance()), name: "missing" })).rejects.toMatchObject({ status: 404 });
  });

  test("a live migration is refused where nothing can do it", async () => {
    const { raw, servers } = at();
    const unit = await instance();
    const signal = AbortSignal.timeout(30_000);
    await servers.source.changeState(unit, "start", { timeoutMs: 30_000, force: true }, signal);
    const answer = await raw.source.call("POST", pathOf(unit), { migration: true, live: true });
    expect(answer.body.error).toContain("Unable to perform live container migration. CRIU isn't installed");
    await servers.source.changeState(unit, "stop", { timeoutMs: 30_000, force: true }, signal);
  });
}
