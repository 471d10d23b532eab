import { once } from "node:events";
import { expect, test } from "vitest";
import type WebSocket from "ws";
import type { RawReply } from "../fakes/incus/raw-client.ts";
import { fresh, pathOf, type Stage } from "./stage.ts";

/** What runs in the background, how its end is told, and what can be stopped. */
export function operationSuite(at: () => Stage): void {
  const failing = async (): Promise<RawReply> => {
    const { raw } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    return await raw.source.call("PUT", pathOf(unit, "/state"), { action: "stop", timeout: 10 });
  };

  test("a failed operation's wait is HTTP 200: an error envelope on 6.0, the failed operation on 7.0", async () => {
    const { raw, generation } = at();
    const started = await failing();
    expect(started).toMatchObject({ status: 202, headers: { location: started.body.operation } });
    const waited = await raw.source.call("GET", `${started.body.operation}/wait`);
    expect(waited.status).toBe(200);
    const err = "The instance is already stopped";
    if (generation === "6.0") expect(waited.body).toMatchObject({ type: "error", error_code: 400, error: err });
    else expect(waited.body).toMatchObject({ type: "sync", metadata: { status: "Failure", status_code: 400, err } });
  });

  test("a wait that is over before the operation says so: an error on 6.0, Running on 7.0", async () => {
    const { raw, generation } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const sent = await raw.source.call("POST", pathOf(unit), { migration: true, live: false });
    const waited = await raw.source.call("GET", `${sent.body.operation}/wait?timeout=0`);
    expect(waited.status).toBe(200);
    if (generation === "6.0") expect(waited.body).toMatchObject({ type: "error", error: "context deadline exceeded" });
    else expect(waited.body).toMatchObject({ type: "sync", metadata: { status: "Running", status_code: 103 } });
    await raw.source.call("DELETE", sent.body.operation);
  });

  test("an operation that has ended is forgotten within ten seconds", { timeout: 60_000 }, async () => {
    const { raw } = at();
    const started = await failing();
    await raw.source.endOf(started);
    const look = async () => (await raw.source.call("GET", started.body.operation)).status;
    expect(await look()).toBe(200);
    await expect.poll(look, { timeout: 15_000, interval: 250 }).toBe(404);
    expect(await raw.source.call("GET", `${started.body.operation}/wait`)).toMatchObject({
      status: 404,
      body: { error: "Operation not found" },
    });
  });

  test("operations are listed by status, with what they touch and the project of it", async () => {
    const { raw, project } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const sent = await raw.source.call("POST", pathOf(unit), { migration: true, live: false });
    const { running } = (await raw.source.get("/1.0/operations?recursion=1&all-projects=true")) as {
      running: object[];
    };
    const instances = [`/1.0/instances/${unit.name}?project=${project}`];
    expect(running).toContainEqual(expect.objectContaining({ class: "websocket", resources: { instances } }));
    await raw.source.call("DELETE", sent.body.operation);
  });

  test("an instance's migration source has secrets for control and fs, and can be cancelled", async () => {
    const { raw } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const sent = await raw.source.call("POST", pathOf(unit), { migration: true, live: false });
    const secret = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(sent.body.metadata).toMatchObject({ metadata: { control: secret, fs: secret }, may_cancel: true });
    expect((await raw.source.call("DELETE", sent.body.operation)).status).toBe(200);
    // It takes up to a second to end, and is Cancelling so long.
    await raw.source.endOf(sent);
    expect(await raw.source.get(sent.body.operation)).toMatchObject({ status: "Cancelled", status_code: 401 });
  });

  test("a volume's migration source can be cancelled on 7.0, and cannot on 6.0", async () => {
    const { raw, generation } = at();
    const unit = await at().createVolume("source", { name: fresh("data"), pool: "local" });
    const sent = await raw.source.call("POST", pathOf(unit), { migration: true, name: unit.name, pool: "local" });
    const cancelled = await raw.source.call("DELETE", sent.body.operation);
    expect(cancelled.status).toBe(generation === "6.0" ? 400 : 200);
    if (generation === "6.0") expect(cancelled.body.error).toBe("This operation can't be cancelled");
  });

  test("a data connection needs the secret, and no certificate that is trusted", async () => {
    const { raw } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const sent = await raw.source.call("POST", pathOf(unit), { migration: true, live: false });
    const wrong = raw.source.socket(`${sent.body.operation}/websocket?secret=${"0".repeat(64)}`);
    const [error] = (await once(wrong, "error")) as [Error];
    expect(error.message).toMatch(/Unexpected server response: 40[0-9]/);
    await raw.source.call("DELETE", sent.body.operation);
  });

  test("events tell of operations, of the project that is asked for", async ({ signal }) => {
    const { raw, servers, project } = at();
    const unit = await at().createInstance("source", { name: fresh("web") });
    const own = await listen(raw.source.socket(`/1.0/events?type=operation&project=${project}`));
    const others = await listen(raw.source.socket("/1.0/events?type=operation&project=default"));
    const all = await listen(raw.source.socket("/1.0/events?type=operation,lifecycle&all-projects=true"));
    await servers.source.createSnapshot(unit, "s1", signal);
    const snapshotting = expect.objectContaining({ description: "Snapshotting instance", status: "Success" });
    await expect.poll(() => own.seen).toContainEqual({ type: "operation", project, metadata: snapshotting });
    const created = expect.objectContaining({ action: "instance-snapshot-created" });
    await expect.poll(() => all.seen).toContainEqual({ type: "lifecycle", project, metadata: created });
    expect(others.seen.filter((event) => event.project === project)).toEqual([]);
    for (const { socket } of [own, others, all]) socket.terminate();
  });

  const refused = [
    { query: "type=nonsense", status: 400 },
    { query: "type=operation&project=default&all-projects=true", status: 400 },
    { query: "type=operation&project=missing", status: 404 },
  ];
  test.each(refused)("events?$query is refused with $status", async ({ query, status }) => {
    const socket = at().raw.source.socket(`/1.0/events?${query}`);
    const [error] = (await once(socket, "error")) as [Error];
    expect(error.message).toBe(`Unexpected server response: ${status}`);
  });
}

type Heard = { type: string; project: string; metadata: unknown };

async function listen(socket: WebSocket): Promise<{ socket: WebSocket; seen: Heard[] }> {
  const seen: Heard[] = [];
  socket.on("message", (data) => {
    const { type, project, metadata } = JSON.parse(data.toString());
    seen.push({ type, project, metadata });
  });
  await once(socket, "open");
  return { socket, seen };
}
