import type WebSocket from "ws";
import type { RawClient, RawReply } from "./raw-client.ts";

export type HandCopy = {
  readonly source: RawClient;
  readonly target: RawClient;
  readonly mode: "pull" | "push" | "relay";
  /** Below `/1.0/`: where the source's unit is, and where the target's is created. */
  readonly from: string;
  readonly to: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly flags?: Readonly<Record<string, unknown>>;
  /** In relay mode: the connection whose first frame from the source ends everything. */
  readonly hangUpOn?: "control" | "fs";
  /** In relay mode: what becomes of the frames from the source, by connection. */
  readonly change?: (name: string, frame: Buffer, isBinary: boolean) => Buffer;
};

type Secrets = Readonly<Record<string, string>>;

/** A refresh done by hand, step by step as the API wants it; how both operations ended. */
export async function copyByHand(copy: HandCopy): Promise<{ source: string; target: string }> {
  const { source, target, mode, from, to, body, flags } = copy;
  const wanted = { type: "migration", refresh: true, refresh_exclude_older: true };
  const migration = { migration: true, live: false, name: body["name"], ...flags };
  const peer = (client: RawClient, started: RawReply) => ({
    operation: `${client.server.url}${started.body.operation}`,
    certificate: client.server.certificate,
    secrets: secretsOf(started),
  });
  if (mode === "push") {
    const sink = await target.call("POST", `/1.0/${to}`, { ...body, source: { ...wanted, mode, ...flags } });
    const sent = await source.call("POST", `/1.0/${from}`, { ...migration, target: peer(target, sink) });
    return await ends(copy, sent, sink);
  }
  const sent = await source.call("POST", `/1.0/${from}`, migration);
  const pull = mode === "pull" ? { mode, ...peer(source, sent) } : { mode: "push" };
  const sink = await target.call("POST", `/1.0/${to}`, { ...body, source: { ...wanted, ...pull, ...flags } });
  if (mode === "relay" && sink.status === 202) {
    const sockets: WebSocket[] = [];
    for (const name of ["control", "fs"]) sockets.push(...pump(copy, name, sent, sink));
    hangUp(copy.hangUpOn, sockets);
  }
  return await ends(copy, sent, sink);
}

function secretsOf(started: RawReply): Secrets {
  return (started.body.metadata as { metadata?: Secrets } | null)?.metadata ?? {};
}

/** The source's control is the first of all sockets, its fs the third. */
function hangUp(on: HandCopy["hangUpOn"], sockets: readonly WebSocket[]): void {
  if (on === undefined) return;
  sockets[on === "control" ? 0 : 2]?.once("message", () => {
    for (const socket of sockets) socket.terminate();
  });
}

function pump(copy: HandCopy, name: string, sent: RawReply, sink: RawReply): [WebSocket, WebSocket] {
  const dial = (client: RawClient, started: RawReply): WebSocket =>
    client.socket(`${started.body.operation}/websocket?secret=${secretsOf(started)[name]}`);
  const source = dial(copy.source, sent);
  const target = dial(copy.target, sink);
  const change = copy.change ?? ((_: string, frame: Buffer) => frame);
  forward(source, target, (frame, isBinary) => change(name, frame, isBinary));
  forward(target, source, (frame) => frame);
  return [source, target];
}

function forward(from: WebSocket, to: WebSocket, change: (frame: Buffer, isBinary: boolean) => Buffer): void {
  const opened = new Promise<void>((resolve) => to.once("open", resolve));
  from.on("message", (frame: Buffer, isBinary) => {
    void opened.then(() => to.send(change(frame, isBinary), { binary: isBinary }));
  });
  from.on("close", (code) => void opened.then(() => (code === 1000 ? to.close(1000) : to.terminate())));
  from.on("error", () => to.terminate());
}

async function ends(
  { source, target }: HandCopy,
  sent: RawReply,
  sink: RawReply,
): Promise<{ source: string; target: string }> {
  const [sourceEnd, targetEnd] = await Promise.all([source.endOf(sent), target.endOf(sink)]);
  return { source: sourceEnd, target: targetEnd };
}
