import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import type { FaultKind } from "./faults.ts";
import type { Context, Host, Route } from "./host.ts";
import { asyncEnvelope, errorEnvelope, etag, Refusal, type Reply, statusOf, syncEnvelope, textOf } from "./reply.ts";
import { type Caller, requireTrusted } from "./trust.ts";

type Wire = { readonly request: IncomingMessage; readonly response: ServerResponse };

/** Answers one request: faults first, then the route, then faults again. */
export async function answer(host: Host, routes: readonly Route[], caller: Caller, wire: Wire): Promise<void> {
  const { request, response } = wire;
  const url = new URL(request.url ?? "/", "https://fake");
  const method = request.method ?? "GET";
  const fault = host.faults.take(method, url.pathname);
  if (fault?.kind === "cut-before") return void request.socket.destroy();
  if (fault?.kind === "slow") await delay(fault.delayMs, response);
  const body = await bodyOf(request);
  try {
    refuseByFault(fault);
    const reply = await handle(host, routes, { caller, url, method, body, headers: request.headers, fault });
    await send(response, reply, fault);
  } catch (error) {
    if (response.headersSent) return void request.socket.destroy();
    const status = statusOf(error);
    sendJson(response, status, errorEnvelope(status, textOf(error)), {}, fault);
  }
}

type Asked = Pick<Context, "caller" | "body" | "headers" | "fault"> & { readonly url: URL; readonly method: string };

async function handle(host: Host, routes: readonly Route[], asked: Asked): Promise<Reply> {
  const { url, method, caller, body, headers, fault } = asked;
  const found = findRoute(routes, method, url.pathname);
  if (found?.route.open !== true) requireTrusted(caller);
  if (found === undefined) throw new Refusal(404, "not found");
  const { "content-type": type } = headers;
  if (type !== "application/octet-stream" && body.length > host.generation.longestBodyBytes) {
    throw new Refusal(400, "http: request body too large");
  }
  return await found.route.handle({
    host,
    caller,
    params: found.params,
    query: url.searchParams,
    headers,
    project: url.searchParams.get("project") ?? "default",
    body,
    fault,
    json: (schema) => parse(schema, body),
  });
}

function findRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): { route: Route; params: Record<string, string> } | undefined {
  const parts = path.split("/");
  for (const route of routes) {
    if (route.method !== method) continue;
    const wanted = route.path.split("/");
    if (wanted.length !== parts.length) continue;
    if (!wanted.every((want, at) => want.startsWith(":") || want === parts[at])) continue;
    const names = wanted.flatMap((want, at) =>
      want.startsWith(":") ? [[want.slice(1), decodeURIComponent(parts[at] ?? "")]] : [],
    );
    return { route, params: Object.fromEntries(names) };
  }
  return undefined;
}

function parse<T>(schema: z.ZodType<T>, body: Buffer): T {
  try {
    return schema.parse(JSON.parse(body.toString("utf8")));
  } catch (error) {
    if (error instanceof z.ZodError) throw new Refusal(400, error.issues[0]?.message ?? "json: cannot unmarshal");
    throw new Refusal(400, body.length === 0 ? "EOF" : `invalid character in JSON: ${textOf(error)}`);
  }
}

function refuseByFault(fault: FaultKind | undefined): void {
  if (fault?.kind === "starting") throw new Refusal(503, "Daemon is starting up");
  if (fault?.kind === "refuse") throw new Refusal(fault.status, fault.error);
}

async function send(response: ServerResponse, reply: Reply, fault: FaultKind | undefined): Promise<void> {
  if (fault?.kind === "silence") return;
  if (fault?.kind === "cut-after") return void response.socket?.destroy();
  if (reply.kind === "stream") return await reply.write(response);
  if (reply.kind === "async") {
    const { operation } = reply;
    const headers = { location: operation.url };
    return sendJson(response, 202, asyncEnvelope(operation.url, operation.render()), headers, fault);
  }
  const headers = {
    ...(reply.location === undefined ? {} : { location: reply.location }),
    ...(reply.etagOf === undefined ? {} : { etag: `"${etag(reply.etagOf)}"` }),
  };
  sendJson(response, reply.status ?? 200, syncEnvelope(reply.metadata), headers, fault);
}

function sendJson(
  response: ServerResponse,
  status: number,
  envelope: object,
  headers: Record<string, string>,
  fault: FaultKind | undefined,
): void {
  if (fault?.kind === "answer") {
    response.writeHead(fault.status, { "content-type": fault.type }).end(fault.body);
    return;
  }
  const whole = Buffer.from(`${JSON.stringify(envelope)}\n`);
  const text = fault?.kind === "truncated-json" ? whole.subarray(0, whole.length / 2) : whole;
  response.writeHead(status, {
    "content-type": "application/json",
    "x-content-type-options": "nosniff",
    "content-length": text.length,
    ...headers,
  });
  if (fault?.kind !== "cut-during") return void response.end(text);
  response.write(text.subarray(0, text.length / 2), () => response.socket?.destroy());
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Ends early where the client has gone. */
async function delay(delayMs: number, response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    response.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
