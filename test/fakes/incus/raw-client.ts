import { Agent, type Dispatcher, request } from "undici";
import WebSocket from "ws";
import { z } from "zod";
import { type Certificate, makeCertificate } from "./certificate.ts";

export type RawReply = { readonly status: number; readonly headers: Record<string, unknown>; readonly body: Envelope };

const Envelope = z.looseObject({
  type: z.string(),
  operation: z.string().default(""),
  error: z.string().default(""),
  error_code: z.number().default(0),
  metadata: z.unknown(),
});
type Envelope = z.infer<typeof Envelope>;

const OperationBody = z.looseObject({ id: z.string(), status: z.string(), err: z.string(), metadata: z.unknown() });

type Address = { readonly url: string; readonly certificate: string };

/** A plain client for tests of servers, fake and real, which must not lean on the client that the agent has. */
export class RawClient {
  readonly server: Address;
  readonly certificate: Certificate;
  readonly #agent: Agent;

  constructor(server: Address, certificate = makeCertificate()) {
    this.server = server;
    this.certificate = certificate;
    const { key, certificate: cert } = certificate;
    this.#agent = new Agent({ connect: { key, cert, ca: server.certificate, checkServerIdentity: () => undefined } });
  }

  async call(method: Dispatcher.HttpMethod, path: string, body?: unknown, headers = {}): Promise<RawReply> {
    const options = { method, headers, dispatcher: this.#agent };
    const reply = await request(
      `${this.server.url}${path}`,
      body === undefined ? options : { ...options, body: JSON.stringify(body) },
    );
    return {
      status: reply.statusCode,
      headers: reply.headers,
      body: Envelope.parse(JSON.parse(await reply.body.text())),
    };
  }

  /** Sends and receives what is no JSON. */
  async bytes(method: Dispatcher.HttpMethod, path: string, headers: Record<string, string>, body?: Buffer | string) {
    const options = { method, headers, dispatcher: this.#agent };
    const reply = await request(`${this.server.url}${path}`, body === undefined ? options : { ...options, body });
    return { status: reply.statusCode, headers: reply.headers, bytes: Buffer.from(await reply.body.arrayBuffer()) };
  }

  /** What a GET finds. */
  async get(path: string): Promise<unknown> {
    return (await this.call("GET", path)).body.metadata;
  }

  /** Asks, waits for the operation if it becomes one, and returns how that ended. */
  async run(method: Dispatcher.HttpMethod, path: string, body?: unknown): Promise<{ error: string; status: number }> {
    const started = await this.call(method, path, body);
    if (started.body.type !== "async") return { error: started.body.error, status: started.status };
    const waited = await this.call("GET", `${started.body.operation}/wait`);
    if (waited.body.type === "error") return { error: waited.body.error, status: waited.body.error_code };
    return { error: OperationBody.parse(waited.body.metadata).err, status: 200 };
  }

  /** The error of the operation that an answer began, or of the answer; empty for success. */
  async endOf({ body }: RawReply): Promise<string> {
    if (body.type !== "async") return body.error;
    const waited = await this.call("GET", `${body.operation}/wait`);
    return waited.body.type === "error" ? waited.body.error : OperationBody.parse(waited.body.metadata).err;
  }

  socket(path: string): WebSocket {
    const { key, certificate: cert } = this.certificate;
    const url = this.server.url.replace("https:", "wss:");
    // The types of ws say boolean; what Node's TLS takes for consent is undefined.
    const anyName = { checkServerIdentity: () => undefined } as object;
    return new WebSocket(`${url}${path}`, {
      key,
      cert,
      ca: this.server.certificate,
      perMessageDeflate: false,
      ...anyName,
    });
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}
