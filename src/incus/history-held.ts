import { on } from "node:events";
import type WebSocket from "ws";
import { type Copy, type KeptSnapshot, rootVolumeOf } from "../model/copy.ts";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { SECOND_MS } from "../model/time.ts";
import { abandon, type End, secretsOf, start, untilEnded } from "./copy-ends.ts";
import { type CHANNELS, sourceRequest } from "./copy-requests.ts";
import { type Guids, readZfsList } from "./history-lists.ts";
import { list, refusal } from "./history-offer.ts";
import { decodeHeader, FS_TYPES, LIST_FEATURE, zfsAnswer } from "./migration-header.ts";
import { type Frame, frameOf } from "./relay-pump.ts";

/** How long the server may take to end an operation that nobody needs any more; until then it does nothing else to the unit. */
const ENDING_MS = 35 * SECOND_MS;

/**
 * All that the refresh must leave on the replica: what is there now, which may be more than the plan saw. On ZFS with
 * the true GUIDs, read from the target itself, since a wrong one would delete what it stands for; what was remembered
 * has to agree. Empty for a plain mirror.
 */
export async function heldHistory(
  target: End,
  copy: Copy,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly KeptSnapshot[]> {
  if (copy.sends === undefined && copy.keep.length === 0) return [];
  const held = await heldNow(target, copy, signal);
  if (held.length === 0 || (await isElsewhere(target, copy, signal))) return held;
  const guids = await readGuids(target, copy, clock, signal);
  if (guids === undefined) return held;
  const replaced = held.filter(({ name, guid }) => guid !== undefined && guids.get(name) !== guid);
  if (replaced.length > 0) {
    throw refusal(copy, `the target does not hold ${list(replaced.map(({ name }) => name))} as remembered`, LOST);
  }
  const ghosts = held.filter(({ name }) => !guids.has(name)).map(({ name }) => name);
  if (ghosts.length > 0) throw refusal(copy, `the target lists ${list(ghosts)} without any data behind`, GHOST);
  return held.map((snapshot) => ({ ...snapshot, guid: guids.get(snapshot.name) }));
}

async function heldNow(target: End, copy: Copy, signal: AbortSignal): Promise<readonly KeptSnapshot[]> {
  const there = await target.snapshots(copy.target, signal).catch(noneIfMissing);
  const gone = copy.keep.filter(({ name }) => !there.some((snapshot) => snapshot.name === name));
  if (gone.length > 0) throw refusal(copy, `the target no longer has ${list(gone.map(({ name }) => name))}`, LOST);
  const guids = new Map(copy.keep.map(({ name, guid }) => [name, guid]));
  return there.map(({ name, createdAtExact }) => ({ name, createdAtExact, guid: guids.get(name) }));
}

/** A replica that is yet to be made has no snapshots. */
function noneIfMissing(error: unknown): readonly Snapshot[] {
  if (error instanceof IncusRefusal && error.status === 404) return [];
  throw error;
}

const LOST = "Somebody has replaced them. Look at the replica's snapshots; `iab status` shows what is lost";
const GHOST = "Delete them on the target: they hold nothing, cannot be restored, and stand in the way";

/** Whether the replica is known to be in a pool of another driver. */
async function isElsewhere(target: End, copy: Copy, signal: AbortSignal): Promise<boolean> {
  const name = copy.kind === "volume" ? copy.target.pool : rootVolumeOf(copy)?.pool;
  if (name === undefined) return false;
  const pool = (await target.pools([name], signal)).find((each) => each.name === name);
  return pool !== undefined && pool.driver !== "zfs";
}

/**
 * The GUIDs of a replica's snapshots, undefined where it is not on ZFS. Its server is asked to send the replica, and
 * says what it has before it sends anything; then it is let go. Nothing is changed by that.
 */
async function readGuids(target: End, copy: Copy, clock: Clock, signal: AbortSignal): Promise<Guids | undefined> {
  const request = sourceRequest(backwards(copy), undefined);
  const operation = await start(target, request, clock, signal);
  const opened: WebSocket[] = [];
  try {
    const secrets = secretsOf(target, operation, request);
    const open = async (channel: (typeof CHANNELS)[number]) => {
      const path = `/1.0/operations/${operation.id}/websocket?secret=${encodeURIComponent(secrets[channel])}`;
      const socket = await target.connection.openWebsocket(path, signal);
      opened.push(socket);
      return new Line(socket, signal);
    };
    return await converse(copy, await open("control"), await open("fs"));
  } finally {
    for (const socket of opened) socket.terminate();
    // To cancel it as well might hit it as it ends, which is the end of the daemon: see copy-ends.ts.
    if (opened.length === 0) await abandon(target, operation);
    else await untilEnded(target, operation, clock, AbortSignal.timeout(ENDING_MS));
  }
}

/** As if the replica were to be sent somewhere. */
function backwards(copy: Copy): Copy {
  return copy.kind === "instance" ? { ...copy, source: copy.target } : { ...copy, source: copy.target };
}

/** What a receiver on ZFS says and hears until it knows what the sender has. */
async function converse(copy: Copy, control: Line, fs: Line): Promise<Guids | undefined> {
  const offer = decodeHeader(await control.message());
  if (offer.fsType !== FS_TYPES.zfs) return undefined;
  if (!offer.zfsFeatures.includes(LIST_FEATURE.zfs)) throw refusal(copy, "the target does not tell GUIDs", UNKNOWN);
  control.send(zfsAnswer());
  await fs.part();
  fs.send(Buffer.from(JSON.stringify({ StatusCode: 200, Error: "", Refresh: true })));
  fs.endPart();
  return readZfsList(copy, (await fs.part()).toString("utf8"));
}

const UNKNOWN = "This version of Incus works in a way this agent was not made for: see docs/history.md";

/** What comes over a websocket, one message after the other. */
class Line {
  readonly #socket: WebSocket;
  readonly #messages: ReturnType<typeof on>;

  constructor(socket: WebSocket, signal: AbortSignal) {
    this.#socket = socket;
    this.#messages = on(socket, "message", { signal, close: ["close"] });
    socket.resume();
  }

  send(data: Buffer): void {
    this.#socket.send(data, { binary: true });
  }

  /** An empty text message ends what is said. */
  endPart(): void {
    this.#socket.send(Buffer.alloc(0), { binary: false });
  }

  async message(): Promise<Buffer> {
    const { data } = await this.#next();
    return data;
  }

  /** All messages up to the one that ends the part. */
  async part(): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (;;) {
      const { data, isBinary } = await this.#next();
      if (!isBinary && data.length === 0) return Buffer.concat(parts);
      parts.push(data);
    }
  }

  async #next(): Promise<Frame> {
    const { done, value } = await this.#messages.next();
    if (done) throw new AgentError("incus.unreachable", "The server has ended the conversation about GUIDs");
    return frameOf(value[0], value[1]);
  }
}
