import type { ServerResponse } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import type { WebSocket } from "ws";
import type { Operation } from "../../src/incus/answer.ts";
import { type Operations, watchOperations } from "../../src/incus/operations.ts";
import type { Progress } from "../../src/model/copy.ts";
import type { Clock } from "../../src/model/ports.ts";
import { MINUTE_MS } from "../../src/model/time.ts";
import { connectTo, errorBody, type LocalServer, quickClock, refuse, serve, stillClock, sync } from "./local-server.ts";

const STATUS = { running: 103, success: 200, failure: 400, cancelled: 401 };

test("waitFor() learns of the end by event, looks once, and asks no more than that", async ({ signal }) => {
  const { server, operations } = await watched(({ response }) => sync(response, operation("success")), stillClock());
  const ended = operations.waitFor(operation("running"), {}, signal);
  (await listener(server)).send(event(operation("success")));
  expect(await ended).toMatchObject({ state: "success", operation: { id: "op1" } });
  expect(server.requests.filter((request) => request.startsWith("GET"))).toEqual([
    "GET /1.0/operations/op1/wait?timeout=2",
  ]);
});

test("waitFor() notices an end that no event told of", async ({ signal }) => {
  const { server, operations } = await watched(({ response }) => {
    const looks = server.requests.filter((request) => request.startsWith("GET")).length;
    sync(response, operation(looks < 4 ? "running" : "success"));
  });
  expect(await operations.waitFor(operation("running"), {}, signal)).toMatchObject({ state: "success" });
});

test("waitFor() does without events where there are none", async ({ signal }) => {
  let looks = 0;
  const { server, operations } = await watched(({ response }) => {
    looks += 1;
    sync(response, operation(looks < 4 ? "running" : "success"));
  });
  server.refuseUpgrades(403, errorBody(403, "not authorized"));
  expect(await operations.waitFor(operation("running"), {}, signal)).toMatchObject({ state: "success" });
  expect(looks).toBe(4);
});

test("an end that was told before the wait began is not missed", async ({ signal }) => {
  const { server, operations } = await watched(({ response }) => refuse(response, 404, "gone"), stillClock());
  const first = operations.waitFor(operation("running", { id: "first" }), {}, signal);
  const events = await listener(server);
  events.send(event(operation("failure", { id: "second", err: "no space" })));
  events.send(event(operation("success", { id: "first" })));
  expect(await first).toMatchObject({ state: "success" });
  const second = await operations.waitFor(operation("running", { id: "second" }), {}, signal);
  expect(second).toEqual({ state: "failure", reason: "no space", cancelled: false });
});

const endings: { name: string; answer: (response: ServerResponse) => void; ended: object }[] = [
  {
    name: "an error envelope, as before 6.0.5",
    answer: (r) => refuse(r, 500, "Failed: no space", 200),
    ended: { state: "failure", reason: "Failed: no space", cancelled: false },
  },
  {
    name: "an error envelope of status 404, which is not that the operation is forgotten",
    answer: (r) => refuse(r, 404, "Storage volume not found", 200),
    ended: { state: "failure", reason: "Storage volume not found", cancelled: false },
  },
  {
    name: "an error that ends like an expired wait",
    answer: (r) => refuse(r, 500, "Failed waiting for control connection: context deadline exceeded", 200),
    ended: {
      state: "failure",
      reason: "Failed waiting for control connection: context deadline exceeded",
      cancelled: false,
    },
  },
  {
    name: "a failed operation, as since 6.0.5",
    answer: (r) => sync(r, operation("failure", { err: "Failed: no space" })),
    ended: { state: "failure", reason: "Failed: no space", cancelled: false },
  },
  {
    name: "a failed operation that does not say why",
    answer: (r) => sync(r, operation("failure")),
    ended: { state: "failure", reason: "it failed and does not say why", cancelled: false },
  },
  {
    name: "a cancelled operation",
    answer: (r) => sync(r, operation("cancelled")),
    ended: { state: "failure", reason: "it was cancelled", cancelled: true },
  },
  {
    name: "a failure that quotes a secret",
    answer: (r) => sync(r, operation("failure", { err: "dial wss://h/websocket?secret=c0ffee: refused" })),
    ended: { state: "failure", reason: "dial wss://h/websocket?secret=[secret] refused", cancelled: false },
  },
  {
    name: "a forgotten operation",
    answer: (r) => refuse(r, 404, "Operation not found"),
    ended: { state: "unknown", why: "prod no longer knows the operation" },
  },
];

test.each(endings)("waitFor() understands $name", async ({ answer, ended }) => {
  const { signal } = new AbortController();
  const { server, operations } = await watched(({ response }) => answer(response));
  server.refuseUpgrades(403, errorBody(403, "not authorized"));
  expect(await operations.waitFor(operation("running"), {}, signal)).toEqual(ended);
});

test("a wait whose time is up, as before 6.0.5, goes on", async ({ signal }) => {
  let waits = 0;
  const { server, operations } = await watched(({ response }) => {
    waits += 1;
    if (waits < 3) refuse(response, 500, "context deadline exceeded", 200);
    else sync(response, operation("success"));
  });
  server.refuseUpgrades(403, errorBody(403, "not authorized"));
  expect(await operations.waitFor(operation("running"), {}, signal)).toMatchObject({ state: "success" });
});

test("waitFor() passes progress on, and takes no notice of words it does not know", async ({ signal }) => {
  const { server, operations } = await watched(({ response }) => sync(response, operation("success")), stillClock());
  const told: Progress[] = [];
  let onTold = () => {};
  const onProgress = (progress: Progress) => {
    told.push(progress);
    onTold();
  };
  const ended = operations.waitFor(operation("running"), { onProgress }, signal);
  const events = await listener(server);
  for (const frame of ["no JSON", '{"type":"lifecycle","metadata":{"action":"instance-created"}}']) events.send(frame);
  events.send(event(operation("running", { metadata: { step: "Unpacking image: 100% (1.03MB/s)" } })));
  for (const text of ["default_fx-big/s1: 294.75MB (293.93MB/s)", "12.50kB (1.00B/s)"]) {
    const heard = new Promise<void>((resolve) => {
      onTold = resolve;
    });
    events.send(event(operation("running", { metadata: { fs_progress: text } })));
    await heard;
  }
  events.send(event(operation("success")));
  await ended;
  expect(told).toEqual([
    { bytes: 294_750_000, bytesPerSecond: 293_930_000, what: "default_fx-big/s1" },
    { bytes: 12_500, totalBytes: undefined, bytesPerSecond: 1, what: undefined },
  ]);
});

test("an operation that stays silent for too long is given up, and cancelled where that was asked for", async ({
  signal,
}) => {
  const { server, operations } = await watched(({ request, response }) => {
    sync(response, request.method === "GET" ? operation("running") : {});
  });
  const ended = operations.waitFor(operation("running"), { cancel: true }, signal);
  await expect(ended).rejects.toMatchObject({
    code: "incus.operation-failed",
    message: "Migrating instance on prod has not moved for 60 s and is given up (operation op1)",
    hint: expect.stringContaining("operationTimeout"),
  });
  expect(server.requests).toContain("DELETE /1.0/operations/op1");
});

test("an operation that moves may take any time", async ({ signal }) => {
  const clock = quickClock();
  const began = clock.now();
  const { operations } = await watched(({ response }) => {
    const isOver = clock.now() - began > 10 * MINUTE_MS;
    sync(
      response,
      operation(isOver ? "success" : "running", { updated_at: String(Math.floor(clock.now() / MINUTE_MS)) }),
    );
  }, clock);
  expect(await operations.waitFor(operation("running"), {}, signal)).toMatchObject({ state: "success" });
});

test("an operation that only others see move may take any time", async ({ signal }) => {
  const clock = quickClock();
  const began = clock.now();
  const { operations } = await watched(({ response }) => {
    sync(response, operation(clock.now() - began > 3 * MINUTE_MS ? "success" : "running"));
  }, clock);
  const ended = await operations.waitFor(operation("running"), { movedAt: () => clock.now() }, signal);
  expect(ended).toMatchObject({ state: "success" });
});

test("an aborted wait ends at once, and cancels where that was asked for", async () => {
  const abort = new AbortController();
  const { server, operations } = await watched(({ request, response }) => {
    if (request.method === "GET") abort.abort(new Error("SIGTERM"));
    else sync(response, {});
  });
  const ended = operations.waitFor(operation("running"), { cancel: true }, abort.signal);
  await expect(ended).rejects.toThrow("SIGTERM");
  expect(server.requests).toContain("DELETE /1.0/operations/op1");
});

test("an operation whose server is lost for minutes has an unknown end", async ({ signal }) => {
  const clock = quickClock();
  const began = clock.now();
  const { server, operations } = await watched(({ response }) => void response.socket?.destroy(), clock);
  server.refuseUpgrades(403, errorBody(403, "not authorized"));
  const ended = await operations.waitFor(operation("running"), {}, signal);
  expect(ended).toMatchObject({ state: "unknown", why: expect.stringContaining("closed the connection") });
  expect(clock.now() - began).toBeGreaterThan(5 * 60_000);
});

test("a hundred operations at once need one events socket and few connections", async ({ signal }) => {
  const { server, operations, connection } = await watched(({ response, path }) => {
    sync(response, operation("success", { id: path.split("/")[3] ?? "" }));
  }, stillClock());
  const ids = Array.from({ length: 100 }, (_, i) => `op${i}`);
  const all = Promise.all(ids.map((id) => operations.waitFor(operation("running", { id }), {}, signal)));
  const events = await listener(server);
  for (const id of ids) events.send(event(operation("success", { id })));
  expect((await all).map((ended) => ended.state)).toEqual(ids.map(() => "success"));
  expect(connection.handshakes()).toMatchObject({ websocket: 1 });
  expect(connection.handshakes().http).toBeLessThanOrEqual(4);
});

test("the events socket is opened again when it breaks", async ({ signal }) => {
  const { server, operations } = await watched(({ response }) => sync(response, operation("running")));
  const ended = operations.waitFor(operation("running"), {}, signal);
  (await listener(server)).terminate();
  const again = await listener(server);
  again.send(event(operation("running")));
  expect(server.requests.filter((request) => request.startsWith("UPGRADE"))).toHaveLength(2);
  operations.close();
  void ended.catch(() => {});
});

const cancels = [
  { name: "accepted", status: 200, cancelled: true },
  { name: "impossible", status: 400, cancelled: false },
  { name: "too late", status: 404, cancelled: false },
];

test.each(cancels)("cancel() says whether it was: $name", async ({ status, cancelled }) => {
  const { signal } = new AbortController();
  const { operations } = await watched(({ response }) => {
    if (status === 200) sync(response, {});
    else refuse(response, status, "This operation can't be cancelled");
  });
  expect(await operations.cancel(operation("running"), signal)).toBe(cancelled);
});

type Watched = { server: LocalServer; operations: Operations; connection: ReturnType<typeof connectTo> };

async function watched(handler: Parameters<typeof serve>[0], clock: Clock = quickClock()): Promise<Watched> {
  const server = await serve(handler);
  const connection = connectTo(server, { clock });
  const operations = watchOperations(connection, clock, MINUTE_MS);
  onTestFinished(() => operations.close());
  return { server, operations, connection };
}

/** The next client that asks for events. */
function listener(server: LocalServer): Promise<WebSocket> {
  return new Promise((resolve) => server.websockets.once("connection", resolve));
}

function operation(status: keyof typeof STATUS, more: Partial<Operation> = {}): Operation {
  return {
    id: "op1",
    class: "task",
    description: "Migrating instance",
    status_code: STATUS[status],
    updated_at: "",
    metadata: null,
    may_cancel: true,
    err: "",
    ...more,
  };
}

function event(metadata: Operation): string {
  return JSON.stringify({ type: "operation", metadata });
}
