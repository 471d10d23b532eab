import { request } from "node:http";
import { z } from "zod";
import type { Daemon } from "./lab.ts";

// A server of 6.0.4 reports an operation's failure as an error envelope, a newer one inside the operation.
const Envelope = z.object({
  type: z.enum(["sync", "async", "error"]),
  operation: z.string().default(""),
  error: z.string().default(""),
  error_code: z.number().default(0),
  metadata: z.unknown(),
});
const Operation = z.object({ status_code: z.number(), err: z.string().default("") });

/** A refusal of the daemon, with the HTTP status that it names. */
class LabRefusal extends Error {
  override readonly name = "LabRefusal";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Asks a daemon through its unix socket, as root, and waits for the operation if there is one.
 * Gives the metadata of the answer, or of the operation that has ended.
 */
export async function call(daemon: Daemon, method: string, path: string, body?: unknown): Promise<unknown> {
  const first = await exchange(daemon, method, path, body);
  if (first.type === "sync") return first.metadata;
  const ended = await exchange(daemon, "GET", `${first.operation}/wait`);
  const operation = Operation.parse(ended.metadata);
  if (operation.status_code >= 400) {
    throw new LabRefusal(operation.status_code, `${method} ${path} on ${daemon.side}: ${operation.err}`);
  }
  return ended.metadata;
}

/** Asks as `call()` does, but gives the operation as it begins: a token's never ends. */
export async function begin(daemon: Daemon, method: string, path: string, body?: unknown): Promise<unknown> {
  return (await exchange(daemon, method, path, body)).metadata;
}

async function exchange(daemon: Daemon, method: string, path: string, body?: unknown) {
  const text = await send(daemon, method, path, body);
  const envelope = Envelope.parse(JSON.parse(text));
  if (envelope.type === "error") {
    throw new LabRefusal(envelope.error_code, `${method} ${path} on ${daemon.side}: ${envelope.error}`);
  }
  return envelope;
}

function send(daemon: Daemon, method: string, path: string, body: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    // A connection of its own: one that is kept may be closed by its other end just when it is used again.
    const sent = request({ socketPath: daemon.socket, method, path, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => resolve(Buffer.concat(parts).toString("utf8")));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
