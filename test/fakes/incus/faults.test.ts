import { once } from "node:events";
import { Agent, request } from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { InstanceUnit } from "../../../src/model/unit.ts";
import type { FaultKind } from "./faults.ts";
import { RawClient } from "./raw-client.ts";
import { type FakeIncus, startFakeIncus } from "./start-fake-incus.ts";

const SNAPSHOTS = "/1.0/instances/web1/snapshots";

let fake: FakeIncus;
let client: RawClient;
let unit: InstanceUnit;

beforeEach(async () => {
  fake = await startFakeIncus();
  client = new RawClient(fake);
  fake.trust(client.certificate.certificate);
  unit = fake.addInstance({ name: "web1" });
});

afterEach(async () => {
  await client.close();
  await fake.close();
});

function plan(what: FaultKind, more: { times?: number; after?: number } = {}): void {
  fake.faults.add({ match: { method: "POST", path: SNAPSHOTS }, what, ...more });
}

const takeSnapshot = () => client.call("POST", SNAPSHOTS, { name: "s1" });

describe("a request that is cut", () => {
  const cuts = [
    { kind: "cut-before", done: [] },
    { kind: "cut-after", done: ["s1"] },
    { kind: "cut-during", done: ["s1"] },
  ] as const;
  test.each(cuts)("$kind has done $done", async ({ kind, done }) => {
    plan({ kind });
    await expect(takeSnapshot()).rejects.toThrow();
    await expect.poll(() => fake.snapshots(unit)).toEqual(done);
  });
});

describe("a request that is answered wrongly", () => {
  test("starting is 503, and nothing is done", async () => {
    plan({ kind: "starting" });
    expect(await takeSnapshot()).toMatchObject({ status: 503, body: { error: "Daemon is starting up" } });
    expect(fake.snapshots(unit)).toEqual([]);
  });

  test("refuse is the error that was ordered, and nothing is done", async () => {
    plan({ kind: "refuse", status: 418, error: "No tea" });
    expect(await takeSnapshot()).toMatchObject({ status: 418, body: { error: "No tea", error_code: 418 } });
    expect(fake.snapshots(unit)).toEqual([]);
  });

  test("truncated-json ends in its middle", async () => {
    plan({ kind: "truncated-json" });
    await expect(takeSnapshot()).rejects.toBeInstanceOf(SyntaxError);
  });

  const answers = [
    { status: 200, type: "text/html", body: "<html>Welcome to the proxy</html>" },
    { status: 500, type: "text/plain", body: "" },
    { status: 200, type: "application/json", body: '{"type":"sync","metadata":42}' },
  ];
  test.each(answers)("answer is what was ordered: $status $type $body", async (wanted) => {
    fake.faults.add({ match: { path: "/1.0" }, what: { kind: "answer", ...wanted } });
    const { certificate: cert, key } = client.certificate;
    const dispatcher = new Agent({
      connect: { cert, key, ca: fake.certificate, checkServerIdentity: () => undefined },
    });
    const reply = await request(`${fake.url}/1.0`, { dispatcher });
    expect(reply.statusCode).toBe(wanted.status);
    expect(reply.headers["content-type"]).toBe(wanted.type);
    expect(await reply.body.text()).toBe(wanted.body);
    await dispatcher.destroy();
  });

  test("silence never answers", async () => {
    plan({ kind: "silence" });
    const answered = takeSnapshot().then(() => "answered");
    await expect.poll(() => fake.snapshots(unit)).toEqual(["s1"]);
    const given = Promise.race([answered.catch(() => "cut"), client.get("/1.0").then(() => "another first")]);
    expect(await given).toBe("another first");
  });

  test("slow answers later than what was asked after it", async () => {
    plan({ kind: "slow", delayMs: 300 });
    const order: string[] = [];
    const slow = takeSnapshot().then(() => order.push("slow"));
    await client.get("/1.0").then(() => order.push("quick"));
    await slow;
    expect(order).toEqual(["quick", "slow"]);
  });
});

describe("an operation that goes wrong", () => {
  const failures = [
    { kind: "operation-fails", done: [] },
    { kind: "operation-fails-late", done: ["s1"] },
  ] as const;
  test.each(failures)("$kind says why, and has done $done", async ({ kind, done }) => {
    plan({ kind, error: "No space left on device" });
    expect(await client.endOf(await takeSnapshot())).toBe("No space left on device");
    expect(fake.snapshots(unit)).toEqual(done);
  });

  const endless = [
    { kind: "operation-silent", done: [] },
    { kind: "operation-never-ends", done: ["s1"] },
  ] as const;
  test.each(endless)("$kind goes on for ever, and has done $done", async ({ kind, done }) => {
    plan({ kind });
    const { body } = await takeSnapshot();
    await expect.poll(() => fake.snapshots(unit)).toEqual(done);
    const waited = await client.call("GET", `${body.operation}/wait?timeout=0`);
    expect(waited.body.metadata).toMatchObject({ status: "Running" });
  });
});

describe("a backup's stream that goes wrong", () => {
  const direct = () => {
    const headers = { accept: "application/octet-stream", "content-type": "application/json" };
    return client.bytes("POST", "/1.0/instances/web1/backups", headers, "{}");
  };
  const order = (what: FaultKind) => fake.faults.add({ match: { path: "/1.0/instances/web1/backups" }, what });

  test("stream-short ends in good order, and only its operation tells", async () => {
    const whole = (await direct()).bytes.length;
    order({ kind: "stream-short", afterBytes: 700 });
    const short = await direct();
    expect([short.status, short.bytes.length, whole > 700]).toEqual([200, 700, true]);
    const { failure } = (await client.get("/1.0/operations?recursion=1")) as { failure: { err: string }[] };
    expect(failure).toMatchObject([{ err: "Backup failed: signal: killed" }]);
  });

  test("cut-during ends in the middle, and the client sees it", async () => {
    fake.setContent(unit, "x".repeat(200_000));
    order({ kind: "cut-during" });
    await expect(direct()).rejects.toThrow();
  });
});

describe("events", () => {
  test("loseEvents() loses as many as it is told to", async () => {
    const socket = client.socket("/1.0/events?type=operation");
    await once(socket, "open");
    fake.faults.loseEvents(1);
    const heard = once(socket, "message");
    await client.endOf(await takeSnapshot());
    const [data] = await heard;
    expect(JSON.parse(String(data)).metadata.status).toBe("Success");
  });

  test("cutEvents() ends the events sockets, and no others", async () => {
    const socket = client.socket("/1.0/events?type=operation");
    await once(socket, "open");
    fake.cutEvents();
    expect((await once(socket, "close"))[0]).toBe(1006);
    expect((await client.call("GET", "/1.0")).status).toBe(200);
    expect(fake.handshakes).toBe(2);
  });

  const upgrades: { what: FaultKind; error: string | RegExp }[] = [
    { what: { kind: "starting" }, error: "Unexpected server response: 503" },
    { what: { kind: "refuse", status: 403, error: "No" }, error: "Unexpected server response: 403" },
    { what: { kind: "cut-before" }, error: /socket|ECONNRESET/ },
  ];
  test.each(upgrades)("an upgrade meets $what.kind", async ({ what, error }) => {
    fake.faults.add({ match: { path: "/1.0/events" }, what });
    const [failure] = (await once(client.socket("/1.0/events"), "error")) as [Error];
    expect(failure.message).toMatch(error);
  });
});

describe("what a fault matches", () => {
  test("times and after choose the requests", async () => {
    fake.faults.add({ match: { path: /^\/1\.0$/ }, what: { kind: "starting" }, times: 2, after: 1 });
    const seen: number[] = [];
    for (let at = 0; at < 4; at += 1) seen.push((await client.call("GET", "/1.0")).status);
    expect(seen).toEqual([200, 503, 503, 200]);
  });

  test("another method or path is left alone, and clear() ends all", async () => {
    plan({ kind: "starting" }, { times: 10 });
    expect((await client.call("GET", SNAPSHOTS)).status).toBe(200);
    expect((await client.call("POST", "/1.0/instances/web2/snapshots", {})).status).toBe(404);
    fake.faults.clear();
    expect((await takeSnapshot()).status).toBe(202);
  });
});

test("cutConnections() ends every connection, and the server goes on", async () => {
  await client.get("/1.0");
  fake.cutConnections();
  await expect.poll(async () => (await client.call("GET", "/1.0").catch(() => undefined))?.status).toBe(200);
  expect(fake.handshakes).toBe(2);
});
