import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { z } from "zod";
import { Channel } from "./channel.ts";
import { Refusal, textOf } from "./reply.ts";

const CHANNELS = ["control", "fs"] as const;
type ChannelName = (typeof CHANNELS)[number];

/** Where the other side waits, as the body of a request says it. */
export const Peer = z.object({
  operation: z.string().default(""),
  certificate: z.string().default(""),
  secrets: z.record(z.string(), z.string()).nullish(),
});
export type Peer = z.infer<typeof Peer>;

/** The two connections of a migration, which come from outside or are dialled. */
export class Connections {
  /** What outsiders must bring; empty where this side dials. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly #peer: Peer | undefined;
  readonly #open = new Map<ChannelName, Channel>();
  readonly #waiting = new Map<ChannelName, { take: (channel: Channel) => void; giveUp: (why: string) => void }>();
  #gone = false;
  #forgotten = false;

  private constructor(peer: Peer | undefined) {
    this.#peer = peer;
    const fresh = CHANNELS.map((name) => [name, randomBytes(32).toString("hex")]);
    this.secrets = peer === undefined ? Object.fromEntries(fresh) : {};
  }

  /** Waits for both to be dialled from outside. */
  static awaited(): Connections {
    return new Connections(undefined);
  }

  /** Dials both. `side` is named in the error about a missing secret. */
  static dialled(peer: Peer, side: "sink" | "source"): Connections {
    const missing = CHANNELS.find((name) => !peer.secrets?.[name]);
    if (missing !== undefined) {
      throw new Refusal(500, `Expected "${missing}" connection secret missing from migration ${side} target request`);
    }
    return new Connections(peer);
  }

  /** Takes a connection that came with a secret; false where no such one is awaited. */
  readonly connect = (secret: string, accept: () => Promise<WebSocket>): boolean => {
    const name = CHANNELS.find((candidate) => this.secrets[candidate] === secret);
    if (name === undefined || this.#open.has(name) || this.#gone) return false;
    void accept().then((socket) => this.#arrived(name, new Channel(socket)));
    return true;
  };

  /** One of the connections, once it is there. */
  async channel(name: ChannelName, withinMs: number, on: "source" | "target"): Promise<Channel> {
    try {
      return this.#peer === undefined ? await this.#awaitOne(name, withinMs) : await this.#dial(name, this.#peer);
    } catch (error) {
      throw new Refusal(500, `Failed waiting for migration ${name} connection on ${on}: ${textOf(error)}`);
    }
  }

  get areForgotten(): boolean {
    return this.#forgotten;
  }

  /** The work is over and nobody is told: what came from outside breaks off, and what was dialled stays open. */
  forget(): void {
    this.#forgotten = true;
    this.#gone = true;
    if (this.#peer === undefined) for (const channel of this.#open.values()) channel.cut();
  }

  /** Ends both; whoever comes later is sent away. */
  disconnect(): void {
    this.#gone = true;
    this.#open.get("control")?.close();
    this.#open.get("fs")?.cut();
    for (const { giveUp } of this.#waiting.values()) giveUp("operation was cancelled");
  }

  #arrived(name: ChannelName, channel: Channel): void {
    this.#open.set(name, channel);
    this.#waiting.get(name)?.take(channel);
  }

  #awaitOne(name: ChannelName, withinMs: number): Promise<Channel> {
    const there = this.#open.get(name);
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve, reject) => {
      const giveUp = (why: string): void => {
        this.#gone = true;
        clearTimeout(timer);
        reject(new Error(why));
      };
      const timer = setTimeout(giveUp, withinMs, "context deadline exceeded");
      const take = (channel: Channel): void => {
        clearTimeout(timer);
        resolve(channel);
      };
      this.#waiting.set(name, { take, giveUp });
    });
  }

  async #dial(name: ChannelName, peer: Peer): Promise<Channel> {
    const url = new URL(`${peer.operation.replace(/^https:/, "wss:")}/websocket`);
    url.searchParams.set("secret", peer.secrets?.[name] ?? "");
    const trust = peer.certificate === "" ? {} : { ca: peer.certificate };
    // The certificate in the body is the whole trust: it names no address that could be compared.
    const anyName = { checkServerIdentity: () => undefined } as object;
    const socket = new WebSocket(url, { ...trust, ...anyName, perMessageDeflate: false, maxPayload: 0 });
    const channel = new Channel(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("unexpected-response", () => reject(new Error("websocket: bad handshake")));
      socket.once("error", (error) => reject(new Error(dialError(error, url))));
    });
    this.#open.set(name, channel);
    return channel;
  }
}

function dialError(error: Error & { code?: string }, url: URL): string {
  if (/CERT|SIGNATURE/.test(error.code ?? "")) {
    return "tls: failed to verify certificate: x509: certificate signed by unknown authority";
  }
  return `Unable to connect to: ${url.host} ([dial tcp ${url.host}: ${error.code ?? error.message}])`;
}
