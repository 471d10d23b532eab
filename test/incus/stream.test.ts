import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Connection } from "../../src/incus/connection.ts";
import { connectTo, refuse, serve, sync } from "./local-server.ts";

const file = { method: "GET", path: "/1.0/instances/a/backups/b/export" } as const;
const importing = { method: "POST", path: "/1.0/instances", headers: { "X-Incus-name": "b" } } as const;
const CHUNK = Buffer.alloc(256 * 1024, 7);

async function bytesOf(connection: Connection, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const download = await connection.openDownload(file, signal);
  if (download.kind !== "bytes") throw new Error("The server sent no file");
  return download.bytes;
}

async function digestOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of bytes) hash.update(chunk);
  return hash.digest("hex");
}

function begin(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { "content-type": "application/octet-stream" });
}

/** Writes until nobody takes any more; says how many chunks went out. */
async function pour(response: ServerResponse, count: number): Promise<number> {
  let sent = 0;
  const closed = new Promise((resolve) => response.once("close", resolve));
  for (; sent < count && !response.destroyed; sent += 1) {
    if (response.write(CHUNK)) continue;
    await Promise.race([new Promise((resolve) => response.once("drain", resolve)), closed]);
  }
  return sent;
}

test("openDownload() gives a file as it was sent, on a connection of its own", async ({ signal }) => {
  const server = await serve(async ({ response }) => {
    await pour(begin(response), 40);
    response.end();
  });
  const connection = connectTo(server);
  const expected = createHash("sha256")
    .update(Buffer.concat(Array.from({ length: 40 }, () => CHUNK)))
    .digest("hex");
  expect(await digestOf(await bytesOf(connection, signal))).toBe(expected);
  expect(connection.handshakes()).toEqual({ http: 1, websocket: 0 });
  await expect.poll(() => [...server.sockets].filter(({ destroyed }) => !destroyed)).toEqual([]);
});

test("openDownload() leaves requests their connections, however many files are under way", async ({ signal }) => {
  const held: ServerResponse[] = [];
  const server = await serve(({ response, path }) => {
    if (path !== file.path) return sync(response, {});
    held.push(begin(response));
    response.write(CHUNK);
  });
  const connection = connectTo(server);
  const files = await Promise.all(Array.from({ length: 6 }, () => bytesOf(connection, signal)));
  expect(await connection.request({ method: "GET", path: "/1.0" }, signal)).toMatchObject({ kind: "sync" });
  for (const response of held) response.end();
  for (const bytes of files) await digestOf(bytes);
});

test("openDownload() takes no more from the server than is read from it", async ({ signal }) => {
  let sent = 0;
  const server = await serve(async ({ response }) => {
    begin(response);
    for (; sent < 4000; sent += 1) {
      if (!response.write(CHUNK)) await new Promise((resolve) => response.once("drain", resolve));
    }
    response.end();
  });
  const bytes = await bytesOf(connectTo(server), signal);
  const reader = bytes[Symbol.asyncIterator]();
  await reader.next();
  await sleep(300);
  const ahead = sent;
  await sleep(300);
  expect(sent).toBe(ahead);
  expect(ahead * CHUNK.length).toBeLessThan(64 * 1024 * 1024);
  await reader.return?.();
});

test("openDownload() ends the connection when its bytes are left before their end", async ({ signal }) => {
  const server = await serve(({ response }) => void pour(begin(response), 4000));
  for await (const _ of await bytesOf(connectTo(server), signal)) break;
  await expect.poll(() => [...server.sockets].filter(({ destroyed }) => !destroyed)).toEqual([]);
});

test("openDownload() gives an answer where the server sends no file", async ({ signal }) => {
  const operation = { id: "7", class: "task", status_code: 103 };
  const server = await serve(({ response }) => {
    response.writeHead(202, { "content-type": "application/json" });
    response.end(JSON.stringify({ type: "async", metadata: operation }));
  });
  const download = await connectTo(server).openDownload(file, signal);
  expect(download).toMatchObject({ kind: "answer", answer: { kind: "async", operation } });
});

test("openDownload() throws the server's refusal", async ({ signal }) => {
  const server = await serve(({ response }) => refuse(response, 404, "Instance backup not found"));
  await expect(connectTo(server).openDownload(file, signal)).rejects.toMatchObject({
    code: "incus.refused",
    status: 404,
  });
});

test("openDownload() throws when the connection is cut in the middle", async ({ signal }) => {
  const server = await serve(({ response }) => {
    begin(response).write(CHUNK, () => response.socket?.destroy());
  });
  await expect(digestOf(await bytesOf(connectTo(server), signal))).rejects.toMatchObject({
    code: "incus.bad-reply",
    message: expect.stringContaining("the body breaks off"),
  });
});

test("openDownload() gives a server up that says nothing any more", async ({ signal }) => {
  const server = await serve(({ response }) => void begin(response).write(CHUNK));
  const connection = connectTo(server, { limits: { silentMs: 3000 } });
  await expect(digestOf(await bytesOf(connection, signal))).rejects.toMatchObject({
    code: "incus.unreachable",
    message: expect.stringContaining("it sent nothing for 0.05 minutes"),
  });
});

test("openDownload() gives a server up that never answers", async ({ signal }) => {
  const server = await serve(() => {});
  const asked = connectTo(server, { limits: { silentMs: 200 } }).openDownload(file, signal);
  await expect(asked).rejects.toMatchObject({ code: "incus.unreachable" });
  await expect.poll(() => [...server.sockets].filter(({ destroyed }) => !destroyed)).toEqual([]);
});

test("openDownload() waits for who reads it, however long that is", async ({ signal }) => {
  const server = await serve(({ response }) => {
    begin(response).write(CHUNK);
    response.end(CHUNK);
  });
  const connection = connectTo(server, { limits: { silentMs: 200 } });
  let size = 0;
  for await (const chunk of await bytesOf(connection, signal)) {
    size += chunk.length;
    if (size === chunk.length) await sleep(500);
  }
  expect(size).toBe(2 * CHUNK.length);
});

test("openDownload() lets go at once when it is aborted", async () => {
  const abort = new AbortController();
  const server = await serve(({ response }) => void begin(response).write(CHUNK));
  const reading = digestOf(await bytesOf(connectTo(server), abort.signal));
  setTimeout(() => abort.abort(new Error("SIGTERM")), 50);
  await expect(reading).rejects.toThrow("SIGTERM");
  await expect.poll(() => [...server.sockets].filter(({ destroyed }) => !destroyed)).toEqual([]);
});

async function* chunks(count: number, each: () => void = () => {}): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < count; sent += 1) {
    each();
    yield CHUNK;
  }
}

test("upload() sends a file of unknown length with its headers, and gives the answer", async ({ signal }) => {
  let heard: unknown;
  const server = await serve(async ({ request, response }) => {
    const { "content-type": type, "x-incus-name": name, "content-length": length } = request.headers;
    heard = { type, name, length, digest: await digestOf(request) };
    sync(response, { done: true });
  });
  const connection = connectTo(server);
  expect(await connection.upload(importing, chunks(40), signal)).toMatchObject({ metadata: { done: true } });
  expect(heard).toEqual({
    type: "application/octet-stream",
    name: "b",
    length: undefined,
    digest: await digestOf(chunks(40)),
  });
  await expect.poll(() => [...server.sockets].filter(({ destroyed }) => !destroyed)).toEqual([]);
});

test("upload() takes no more of the file than the server does", async () => {
  const abort = new AbortController();
  const server = await serve(({ request }) => void request.pause());
  let taken = 0;
  const sending = connectTo(server).upload(
    importing,
    chunks(4000, () => {
      taken += 1;
    }),
    abort.signal,
  );
  await sleep(300);
  const ahead = taken;
  await sleep(300);
  expect(taken).toBe(ahead);
  expect(ahead * CHUNK.length).toBeLessThan(64 * 1024 * 1024);
  abort.abort(new Error("SIGTERM"));
  await expect(sending).rejects.toThrow("SIGTERM");
});

test("upload() never ends a body that broke as if it were whole", async ({ signal }) => {
  let ended: "whole" | "broken" | undefined;
  const server = await serve(({ request }) => {
    request.on("end", () => {
      ended = "whole";
    });
    request.on("error", () => {
      ended ??= "broken";
    });
    request.resume();
  });
  const broken = new Error("Kopia went away");
  async function* half(): AsyncGenerator<Uint8Array> {
    yield* chunks(10);
    throw broken;
  }
  await expect(connectTo(server).upload(importing, half(), signal)).rejects.toBe(broken);
  await expect.poll(() => ended).toBe("broken");
});

test("upload() throws the refusal of a server that does not want to read it all", async ({ signal }) => {
  const server = await serve(({ response }) => refuse(response, 404, "Storage pool not found"));
  const sending = connectTo(server).upload(importing, chunks(400), signal);
  await expect(sending).rejects.toMatchObject({ code: "incus.refused", status: 404 });
});

test("upload() gives a server up that takes nothing any more", async ({ signal }) => {
  const server = await serve(({ request }) => void request.pause());
  const connection = connectTo(server, { limits: { silentMs: 200 } });
  await expect(connection.upload(importing, chunks(4000), signal)).rejects.toMatchObject({
    code: "incus.unreachable",
    message: expect.stringContaining("it took nothing for 0 minutes"),
  });
});

test("upload() waits for what is sent, however long that takes to come", async ({ signal }) => {
  const server = await serve(({ request, response }) => {
    request.on("end", () => sync(response, {})).resume();
  });
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield CHUNK;
    await sleep(500);
    yield CHUNK;
  }
  const connection = connectTo(server, { limits: { silentMs: 200 } });
  expect(await connection.upload(importing, slow(), signal)).toMatchObject({ kind: "sync" });
});

test("upload() that is cut is not sent again", async ({ signal }) => {
  const server = await serve(({ request, response }) => {
    request.once("data", () => response.socket?.destroy());
  });
  const sending = connectTo(server).upload(importing, chunks(400), signal);
  await expect(sending).rejects.toMatchObject({ code: "incus.unreachable" });
  expect(server.requests).toHaveLength(1);
});
