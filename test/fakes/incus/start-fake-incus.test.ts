import { X509Certificate } from "node:crypto";
import { request } from "undici";
import { afterEach, expect, test } from "vitest";
import { makeCertificate } from "./certificate.ts";
import type { FakeIncusOptions } from "./options.ts";
import { RawClient } from "./raw-client.ts";
import { type FakeIncus, startFakeIncus } from "./start-fake-incus.ts";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function open(options: FakeIncusOptions = {}): Promise<{ fake: FakeIncus; client: RawClient }> {
  const fake = await startFakeIncus(options);
  const client = new RawClient(fake);
  fake.trust(client.certificate.certificate);
  closers.push(
    () => client.close(),
    () => fake.close(),
  );
  return { fake, client };
}

test.each([
  { generation: "6.0", extensions: expect.arrayContaining(["custom_volume_refresh"]) },
  { generation: "7.0", extensions: null },
] as const)(
  "GET /1.0 of $generation tells strangers little, and the trusted all",
  async ({ generation, extensions }) => {
    const { fake, client } = await open({ generation });
    const stranger = new RawClient(fake);
    closers.push(() => stranger.close());
    expect(await client.get("/1.0")).toMatchObject({
      auth: "trusted",
      api_extensions: expect.arrayContaining(["custom_volume_refresh"]),
      environment: { certificate_fingerprint: fake.fingerprint },
    });
    const seen = await stranger.get("/1.0");
    expect(seen).toMatchObject({ auth: "untrusted", api_extensions: extensions });
    expect(seen).not.toHaveProperty("environment");
    expect((await stranger.call("GET", "/1.0/instances")).status).toBe(403);
  },
);

test("the server's certificate is not one that a system trusts", async () => {
  const { fake } = await open();
  await expect(request(fake.url)).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
});

test("swapCertificate() shows another certificate from the next handshake on", async () => {
  const { fake, client } = await open();
  await client.get("/1.0");
  const before = fake.fingerprint;
  const late = new RawClient(fake, client.certificate);
  closers.push(() => late.close());
  fake.swapCertificate();
  expect(fake.fingerprint).not.toBe(before);
  await expect(late.get("/1.0")).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
});

test("a token lets a client in once, with the rights that it was made with", async () => {
  const { fake } = await open();
  const client = new RawClient(fake);
  const other = new RawClient(fake);
  closers.push(
    () => client.close(),
    () => other.close(),
  );
  const token = fake.addToken({ restricted: true, projects: ["default"] });
  const redeemed = await client.call("POST", "/1.0/certificates", { type: "client", trust_token: token });
  expect(redeemed).toMatchObject({
    status: 201,
    headers: { location: `/1.0/certificates/${client.certificate.fingerprint}` },
  });
  expect(await client.get(`/1.0/certificates/${client.certificate.fingerprint}`)).toMatchObject({
    restricted: true,
    projects: ["default"],
  });
  const again = await other.call("POST", "/1.0/certificates", { trust_token: token });
  expect(again).toMatchObject({ status: 403, body: { error: "No matching certificate add operation found" } });
  const twice = await client.call("POST", "/1.0/certificates", { trust_token: fake.addToken() });
  expect(twice).toMatchObject({ status: 400, body: { error: "Client is already trusted" } });
});

test.each(["", "%%%", Buffer.from('{"client_name":"x"}').toString("base64")])("token %j is no token", async (token) => {
  const { fake } = await open();
  const stranger = new RawClient(fake);
  closers.push(() => stranger.close());
  const answer = await stranger.call("POST", "/1.0/certificates", { trust_token: token });
  expect(answer).toMatchObject({ status: 403, body: { error: "not authorized" } });
});

test("a token that has expired is refused, and gone", async () => {
  const { fake } = await open();
  const stranger = new RawClient(fake);
  closers.push(() => stranger.close());
  const token = fake.addToken({ expiresAt: "2020-01-01T00:00:00Z" });
  const first = await stranger.call("POST", "/1.0/certificates", { trust_token: token });
  expect(first).toMatchObject({ status: 500, body: { error: expect.stringContaining("Token has expired") } });
  expect((await stranger.call("POST", "/1.0/certificates", { trust_token: token })).status).toBe(403);
});

test("snapshots of an instance are taken, listed with nine decimals, renamed, and deleted", async () => {
  const { fake, client } = await open();
  const unit = fake.addInstance({ name: "web1", content: "one" });
  expect(await client.run("POST", "/1.0/instances/web1/snapshots", { name: "s1" })).toEqual({ error: "", status: 200 });
  fake.setContent(unit, "two");
  expect(fake.digest(unit, "s1")).not.toBe(fake.digest(unit));
  const [listed] = (await client.get("/1.0/instances/web1/snapshots?recursion=1")) as { created_at: string }[];
  expect(listed).toMatchObject({ name: "s1", expires_at: "0001-01-01T00:00:00Z", size: -1 });
  expect(listed?.created_at).toMatch(/\.\d{6,9}Z$/);
  await client.run("POST", "/1.0/instances/web1/snapshots/s1", { name: "s2" });
  expect(fake.snapshots(unit)).toEqual(["s2"]);
  expect(await client.run("DELETE", "/1.0/instances/web1/snapshots/s2")).toEqual({ error: "", status: 200 });
  expect(fake.snapshots(unit)).toEqual([]);
});

const duplicates = [
  { generation: "6.0", waits: "error" },
  { generation: "7.0", waits: "sync" },
] as const;
test.each(duplicates)(
  "a duplicate snapshot fails in the operation; $generation says so in a body of type $waits",
  async ({ generation, waits }) => {
    const { fake, client } = await open({ generation });
    fake.addInstance({ name: "web1", snapshots: ["s1"] });
    fake.addVolume({ name: "data", snapshots: ["s1"] });
    const asked = await client.call("POST", "/1.0/instances/web1/snapshots", { name: "s1" });
    expect(asked.status).toBe(202);
    const waited = await client.call("GET", `${asked.body.operation}/wait`);
    expect(waited).toMatchObject({ status: 200, body: { type: waits } });
    expect(JSON.stringify(waited.body)).toMatch(/UNIQUE constraint failed|entry already exists/);
    const volume = await client.call("POST", "/1.0/storage-pools/local/volumes/custom/data/snapshots", { name: "s1" });
    expect(volume).toMatchObject({ status: 409, body: { error: 'Snapshot "s1" already in use' } });
  },
);

test("6.0 lists volumes and their snapshots side by side, 7.0 one inside the other", async () => {
  const old = await open({ generation: "6.0" });
  const young = await open({ generation: "7.0" });
  for (const { fake } of [old, young]) fake.addVolume({ name: "data", snapshots: ["s1"] });
  const all = "/1.0/storage-pools/local/volumes/custom?all-projects=true&recursion";
  expect(await old.client.get(`${all}=2`)).toMatchObject([{ name: "data" }, { name: "data/s1" }]);
  expect(await young.client.get(`${all}=1`)).toMatchObject([{ name: "data" }]);
  expect(await young.client.get(`${all}=2`)).toMatchObject([
    { name: "data", snapshots: [{ name: "s1", expires_at: null }] },
  ]);
});

test("events tell of operations to those who listen", async () => {
  const { fake, client } = await open();
  fake.addInstance({ name: "web1" });
  const socket = client.socket("/1.0/events?type=operation,lifecycle&all-projects=true");
  await new Promise((resolve) => socket.once("open", resolve));
  const seen: { type: string; metadata: { status?: string; action?: string } }[] = [];
  const success = new Promise<void>((resolve) => {
    socket.on("message", (data) => {
      seen.push(JSON.parse(data.toString()));
      if (seen.at(-1)?.metadata.status === "Success") resolve();
    });
  });
  await client.run("POST", "/1.0/instances/web1/snapshots", { name: "s1" });
  await success;
  expect(seen.map(({ metadata }) => metadata.status ?? metadata.action)).toEqual([
    "Running",
    "instance-snapshot-created",
    "Success",
  ]);
});

test("an operation is forgotten once its time is over", async () => {
  const { fake, client } = await open({ timings: { forgetAfterMs: 1 } });
  fake.addInstance({ name: "web1" });
  const { body } = await client.call("POST", "/1.0/instances/web1/snapshots", { name: "s1" });
  await expect.poll(async () => (await client.call("GET", body.operation)).body.error).toBe("Operation not found");
});

test("a PATCH without a description blanks it on 6.0 and leaves it on 7.0", async () => {
  for (const [generation, kept] of [
    ["6.0", ""],
    ["7.0", "mine"],
  ] as const) {
    const { fake, client } = await open({ generation });
    fake.addInstance({ name: "web1", description: "mine", config: { "user.old": "1" } });
    await client.call("PATCH", "/1.0/instances/web1", { config: { "user.iab.last": "x", "user.old": "" } });
    const { description, config } = (await client.get("/1.0/instances/web1")) as Record<string, object>;
    expect(description).toBe(kept);
    expect(config).toMatchObject({ "user.iab.last": "x" });
    expect(config).not.toHaveProperty(["user.old"]);
  }
});

test("state changes answer as the server does to those that make no sense", async () => {
  const { fake, client } = await open();
  fake.addInstance({ name: "web1", ignoresStop: true, status: "Running" });
  const change = (body: object) => client.run("PUT", "/1.0/instances/web1/state", body);
  expect(await change({ action: "start" })).toMatchObject({ error: "The instance is already running" });
  expect(await change({ action: "stop", timeout: 1 })).toMatchObject({ error: expect.stringContaining("deadline") });
  expect(await change({ action: "stop", force: true })).toMatchObject({ error: "" });
  expect(await change({ action: "stop" })).toMatchObject({ error: "The instance is already stopped" });
  expect(await change({ action: "hop" })).toMatchObject({ status: 400, error: "Unknown action: 'hop'" });
});

test("a restricted certificate sees its projects only, in the manner of its generation", async () => {
  for (const [generation, pools, others] of [
    ["6.0", 500, 500],
    ["7.0", 200, 200],
  ] as const) {
    const { fake } = await open({ generation, projects: { secret: {} } });
    const client = new RawClient(fake);
    closers.push(() => client.close());
    fake.trust(client.certificate.certificate, { restricted: true, projects: ["default"] });
    fake.addInstance({ name: "web1" });
    fake.addInstance({ name: "hidden", project: "secret" });
    expect(await client.get("/1.0/instances?recursion=1&all-projects=true")).toMatchObject([{ name: "web1" }]);
    expect((await client.call("GET", "/1.0/storage-pools?recursion=1")).status).toBe(pools);
    expect((await client.call("GET", "/1.0/instances?project=secret")).status).toBe(others);
    expect((await client.call("GET", "/1.0/instances/hidden?project=secret")).status).toBe(403);
  }
});

test("faults befall the requests they match, as often as they are told to", async () => {
  const { fake, client } = await open();
  const unit = fake.addInstance({ name: "web1" });
  fake.faults.add({ match: { path: "/1.0" }, what: { kind: "starting" }, times: 2 });
  for (const status of [503, 503, 200]) expect((await client.call("GET", "/1.0")).status).toBe(status);
  const snapshot = { match: { method: "POST", path: /snapshots$/ } };
  fake.faults.add({ ...snapshot, what: { kind: "cut-before" } });
  await expect(client.run("POST", "/1.0/instances/web1/snapshots", { name: "s1" })).rejects.toThrow();
  expect(fake.snapshots(unit)).toEqual([]);
  fake.faults.add({ ...snapshot, what: { kind: "cut-after" } });
  await expect(client.run("POST", "/1.0/instances/web1/snapshots", { name: "s1" })).rejects.toThrow();
  await expect.poll(() => fake.snapshots(unit)).toEqual(["s1"]);
  fake.faults.add({ ...snapshot, what: { kind: "operation-fails", error: "No space left on device" } });
  const failed = await client.run("POST", "/1.0/instances/web1/snapshots", { name: "s2" });
  expect(failed.error).toBe("No space left on device");
  expect(fake.snapshots(unit)).toEqual(["s1"]);
});

test("two hundred workloads of two hundred snapshots are listed in one quick answer", async () => {
  const { fake, client } = await open();
  const snapshots = Array.from({ length: 200 }, (_, at) => `s${at}`);
  for (let at = 0; at < 200; at += 1) fake.addInstance({ name: `web${at}`, snapshots });
  const startedAt = performance.now();
  const all = (await client.get("/1.0/instances?recursion=2&all-projects=true")) as { snapshots: unknown[] }[];
  expect(all.map((instance) => instance.snapshots.length)).toEqual(Array(200).fill(200));
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});

test("certificates are made with the names and dates that are asked for", () => {
  const authority = makeCertificate({ commonName: "CA", isAuthority: true });
  const signed = makeCertificate({
    commonName: "host",
    issuer: authority,
    notAfter: new Date("2020-01-01"),
    notBefore: new Date("2019-01-01"),
  });
  const seen = new X509Certificate(signed.certificate);
  expect(seen.verify(new X509Certificate(authority.certificate).publicKey)).toBe(true);
  expect(seen).toMatchObject({ subject: "CN=host", issuer: "CN=CA", validTo: "Jan  1 00:00:00 2020 GMT" });
});
