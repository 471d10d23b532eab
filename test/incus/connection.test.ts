import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import type { Method } from "../../src/incus/exchange.ts";
import { IncusRefusal } from "../../src/model/errors.ts";
import { connectTo, errorBody, quickClock, refuse, serve, serverCertificate, sync } from "./local-server.ts";

const get = { method: "GET", path: "/1.0/instances" } as const;

test("500 requests at once make four handshakes, and later ones none", async ({ signal }) => {
  const server = await serve(({ response }) => sync(response, []));
  const connection = connectTo(server);
  await Promise.all(Array.from({ length: 500 }, () => connection.request(get, signal)));
  expect(connection.handshakes()).toEqual({ http: 4, websocket: 0 });
  await connection.request(get, signal);
  expect(connection.handshakes()).toEqual({ http: 4, websocket: 0 });
  expect(server.sessions).toHaveLength(4);
  expect(server.requests).toHaveLength(501);
});

test("connections take turns, so that none of them is idle for long", async ({ signal }) => {
  const used = new Map<unknown, number>();
  const server = await serve(({ request, response }) => {
    used.set(request.socket, (used.get(request.socket) ?? 0) + 1);
    sync(response, []);
  });
  const connection = connectTo(server);
  await Promise.all(Array.from({ length: 4 }, () => connection.request(get, signal)));
  for (let i = 0; i < 8; i += 1) await connection.request(get, signal);
  expect([...used.values()]).toEqual([3, 3, 3, 3]);
});

test("request() sends method, query, body, tag and headers, and gives the tag and the place back", async ({
  signal,
}) => {
  let heard: unknown;
  const server = await serve(({ request, response, path, query }) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const { "if-match": tag, "content-type": type, "x-incus-name": name } = request.headers;
      heard = { method: request.method, path, query: [...query], tag, type, name, body: JSON.parse(body) };
      sync(response, { a: 1 }, { etag: '"abc"', location: "/1.0/certificates/ff" });
    });
  });
  const answer = await connectTo(server).request(
    {
      method: "PATCH",
      path: "/1.0/instances/a%2Fb",
      query: { project: "my project", target: undefined },
      body: { config: { "user.x": "ü" } },
      etag: '"old"',
      headers: { "X-Incus-name": "b" },
    },
    signal,
  );
  expect(heard).toEqual({
    method: "PATCH",
    path: "/1.0/instances/a%2Fb",
    query: [["project", "my project"]],
    tag: '"old"',
    type: "application/json",
    name: "b",
    body: { config: { "user.x": "ü" } },
  });
  expect(answer).toEqual({
    kind: "sync",
    metadata: { a: 1 },
    etag: '"abc"',
    location: "/1.0/certificates/ff",
    date: expect.stringMatching(/ GMT$/),
  });
});

test("request() tells asynchronous answers by their body", async ({ signal }) => {
  const operation = { id: "7", class: "task", status_code: 103, may_cancel: true, metadata: { fs: "s" } };
  const server = await serve(({ response }) => json(response, 202, { type: "async", metadata: operation }));
  const answer = await connectTo(server).request({ method: "DELETE", path: "/1.0/instances/a" }, signal);
  expect(answer).toMatchObject({ kind: "async", operation });
});

test("request() throws the server's refusal with its status, words, place and what to do", async ({ signal }) => {
  const server = await serve(({ response }) => refuse(response, 403, "not authorized"));
  const refused = await connectTo(server)
    .request(get, signal)
    .catch((error) => error);
  expect(refused).toBeInstanceOf(IncusRefusal);
  expect(refused).toMatchObject({ code: "incus.refused", status: 403, reason: "not authorized" });
  expect(refused.message).toBe("Cannot GET /1.0/instances: prod answered 403: not authorized");
  expect(refused.hint).toContain("not trusted");
});

test("no error holds a query, or a secret that the server repeats", async ({ signal }) => {
  const words = 'dial wss://h/websocket?secret=c0ffee": refused';
  const server = await serve(({ response }) => refuse(response, 500, words));
  server.refuseUpgrades(403, errorBody(403, words));
  const path = "/1.0/operations/1/websocket?secret=c0ffee";
  const connection = connectTo(server);
  const errors = [
    await connection.request({ ...get, query: { secret: "c0ffee" } }, signal).catch((error) => error),
    await connection.openWebsocket(path, signal).catch((error) => error),
    await connectTo({ url: server.url, certificate: serverCertificate }, { limits: { connectTimeoutMs: 1 } })
      .openWebsocket(path, signal)
      .catch((error) => error),
  ];
  for (const error of errors) {
    expect(error.message).toMatch(/^Cannot /);
    expect(JSON.stringify([error.message, error.hint, error.reason, String(error.cause), error.stack])).not.toContain(
      "c0ffee",
    );
  }
});

const badReplies: { name: string; answer: (response: ServerResponse) => void; why: RegExp }[] = [
  {
    name: "truncated JSON",
    answer: (r) => raw(r, 200, '{"type":"sync","metad'),
    why: /21 characters of application\/json that are not JSON/,
  },
  {
    name: "HTML",
    answer: (r) => raw(r, 200, "<html>hi</html>", "text/html"),
    why: /HTTP 200 with 15 characters of text\/html/,
  },
  { name: "500 without a body", answer: (r) => raw(r, 500, ""), why: /HTTP 500 with no body/ },
  { name: "502 of a proxy", answer: (r) => raw(r, 502, "<h1>Bad Gateway</h1>", "text/html"), why: /HTTP 502 with/ },
  { name: "an empty 200", answer: (r) => raw(r, 200, ""), why: /HTTP 200 with no body/ },
  { name: "JSON that is no envelope", answer: (r) => json(r, 200, [1, 2]), why: /body: / },
  { name: "an unknown type", answer: (r) => json(r, 200, { type: "maybe" }), why: /type: / },
  {
    name: "an operation without an id",
    answer: (r) => json(r, 202, { type: "async", metadata: { status_code: 103 } }),
    why: /metadata\.id: /,
  },
  {
    name: "an error without a text",
    answer: (r) => json(r, 400, { type: "error", error_code: 400 }),
    why: /error: .*HTTP 400/,
  },
  {
    name: "a status code that is a text",
    answer: (r) => json(r, 400, { type: "error", error_code: "400", error: "" }),
    why: /error_code: /,
  },
  {
    name: "a success under a status of failure",
    answer: (r) => json(r, 500, { type: "sync", metadata: 1 }),
    why: /HTTP 500 with the body of a success/,
  },
  { name: "a redirect", answer: (r) => raw(r, 301, "", "text/html"), why: /HTTP 301/ },
  { name: "a body that breaks off", answer: breakOff, why: /the body breaks off/ },
  { name: "no HTTP at all", answer: (r) => void r.socket?.end("garbage\r\n\r\n"), why: /it is not HTTP/ },
  {
    name: "a body without an end in sight",
    answer: (r) => json(r, 200, { type: "sync", metadata: "x".repeat(9000) }),
    why: /more than 8192 bytes/,
  },
];

test.each(badReplies)("request() names a bad reply: $name", async ({ answer, why }) => {
  const { signal } = new AbortController();
  const server = await serve(({ response }) => answer(response));
  const connection = connectTo(server, { limits: { replyBytes: 8192 } });
  await expect(connection.request(get, signal)).rejects.toMatchObject({
    code: "incus.bad-reply",
    message: expect.stringMatching(
      new RegExp(`^Cannot read what prod answered to GET /1.0/instances: .*${why.source}`),
    ),
  });
});

const silences: { name: string; answer: (response: ServerResponse) => void }[] = [
  { name: "no answer at all", answer: () => {} },
  { name: "headers and no body", answer: (r) => void r.writeHead(200, { "content-length": 10 }).flushHeaders() },
  { name: "half a body", answer: (r) => void r.writeHead(200, { "content-length": 10 }).write("{") },
];

test.each(silences)("request() ends by its time limit: $name", async ({ answer }) => {
  const { signal } = new AbortController();
  const server = await serve(({ response }) => answer(response));
  const connection = connectTo(server);
  await expect(connection.request({ ...get, timeoutMs: 100 }, signal)).rejects.toMatchObject({
    code: "incus.unreachable",
    message: `Cannot GET /1.0/instances on prod (${server.url}): no answer within 100 ms`,
  });
});

test.each(silences)("request() lets go at once when it is aborted: $name", async ({ answer }) => {
  const abort = new AbortController();
  const server = await serve(({ response }) => {
    answer(response);
    abort.abort(new Error("SIGINT"));
  });
  await expect(connectTo(server).request(get, abort.signal)).rejects.toThrow("SIGINT");
});

test("request() that waits for its turn lets go when it is aborted, and is never sent", async ({ signal }) => {
  const abort = new AbortController();
  const held: ServerResponse[] = [];
  const server = await serve(({ response }) => void held.push(response));
  const connection = connectTo(server, { limits: { connections: 1 } });
  const first = connection.request(get, signal);
  const second = connection.request({ method: "POST", path: "/1.0/never" }, abort.signal);
  abort.abort(new Error("SIGINT"));
  await expect(second).rejects.toThrow("SIGINT");
  await expect.poll(() => held.length).toBe(1);
  for (const response of held) sync(response, {});
  await first;
  expect(server.requests).toEqual(["GET /1.0/instances"]);
});

test("a GET whose connection is cut is sent again", async ({ signal }) => {
  const server = await serve(({ response }) => {
    if (server.requests.length < 3) response.socket?.destroy();
    else sync(response, "there");
  });
  expect(await connectTo(server).request(get, signal)).toMatchObject({ metadata: "there" });
  expect(server.requests).toHaveLength(3);
});

test.each<Method>(["POST", "PUT", "PATCH", "DELETE"])(
  "a %s whose connection is cut is not sent again",
  async (method) => {
    const { signal } = new AbortController();
    const server = await serve(({ response }) => void response.socket?.destroy());
    const cut = connectTo(server).request({ method, path: "/1.0/instances" }, signal);
    await expect(cut).rejects.toMatchObject({ code: "incus.unreachable", message: expect.stringContaining("closed") });
    expect(server.requests).toHaveLength(1);
  },
);

test("what was never sent is tried a few times, each pause longer, whatever it is", async ({ signal }) => {
  const clock = quickClock();
  const closed = { url: "https://127.0.0.1:1", certificate: serverCertificate };
  const connection = connectTo(closed, { clock });
  await expect(connection.request({ method: "POST", path: "/1.0" }, signal)).rejects.toThrow("nothing listens there");
  expect(clock.slept).toHaveLength(4);
  clock.slept.forEach((pauseMs, i) => {
    expect(pauseMs).toBeGreaterThanOrEqual(125 * 2 ** i);
    expect(pauseMs).toBeLessThanOrEqual(250 * 2 ** i);
  });
});

test("a refusal is not tried again", async ({ signal }) => {
  const server = await serve(({ response }) => refuse(response, 500, "no"));
  await expect(connectTo(server).request(get, signal)).rejects.toThrow("answered 500");
  expect(server.requests).toHaveLength(1);
});

test("a server that is starting is waited for, whatever it is asked", async ({ signal }) => {
  const server = await serve(({ response }) => {
    if (server.requests.length < 8) refuse(response, 503, "Daemon is starting up");
    else sync(response, "up");
  });
  const answer = await connectTo(server).request({ method: "POST", path: "/1.0/instances" }, signal);
  expect(answer).toMatchObject({ metadata: "up" });
  expect(server.requests).toHaveLength(8);
});

test("a server that goes on starting is given up after its time", async ({ signal }) => {
  const clock = quickClock();
  const began = clock.now();
  const server = await serve(({ response }) => refuse(response, 503, "Daemon is starting up"));
  const asked = connectTo(server, { clock, limits: { startupMs: 20_000 } }).request(get, signal);
  await expect(asked).rejects.toMatchObject({ code: "incus.refused", status: 503 });
  expect(clock.now() - began).toBeGreaterThanOrEqual(20_000);
  expect(clock.now() - began).toBeLessThan(25_000);
});

test("a cluster that has not noticed yet that a member is gone is asked again until it has", async ({ signal }) => {
  const clock = quickClock();
  const began = clock.now();
  const server = await serve(({ response }) => {
    if (clock.now() - began < 25_000) refuse(response, 500, "Target cluster member is unavailable");
    else sync(response, ["one"]);
  });
  const connection = connectTo(server, { clock });
  const once = connection.request({ method: "POST", path: "/1.0/instances" }, signal);
  await expect(once).rejects.toMatchObject({ status: 500 });
  expect(server.requests).toHaveLength(1);
  expect(await connection.request(get, signal)).toMatchObject({ metadata: ["one"] });
});

test("a member that is offline is not waited for", async ({ signal }) => {
  const server = await serve(({ response }) => refuse(response, 503, 'Cluster member "two" is offline'));
  await expect(connectTo(server).request(get, signal)).rejects.toMatchObject({ status: 503 });
  expect(server.requests).toHaveLength(1);
});

test("close() ends what is under way", async ({ signal }) => {
  const server = await serve(() => {});
  const connection = connectTo(server);
  const asked = connection.request(get, signal);
  const websocket = await connection.openWebsocket("/1.0/events", signal);
  const closed = new Promise((resolve) => websocket.once("close", resolve));
  await connection.close();
  await expect(asked).rejects.toMatchObject({ code: "incus.unreachable" });
  await closed;
});

function raw(response: ServerResponse, status: number, body: string, type = "application/json"): void {
  response.writeHead(status, { "content-type": type }).end(body);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  raw(response, status, JSON.stringify(body));
}

function breakOff(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": 100 });
  response.write('{"type":"sync",', () => response.socket?.destroy());
}
