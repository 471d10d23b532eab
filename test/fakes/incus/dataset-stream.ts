import { z } from "zod";
import type { Channel } from "./channel.ts";
import { Refusal } from "./reply.ts";

/** A snapshot, or the head (no name), on its way. */
export type Sending = { readonly name: string; readonly guid: string; readonly content: Buffer };
type Base = Pick<Sending, "guid" | "content">;

export type Received = {
  readonly name: string;
  readonly guid: string;
  /** Undefined for a full stream. */
  readonly baseGuid: string | undefined;
  /** The content, made of what came and the base it builds on. */
  readonly on: (base: Buffer | undefined) => Buffer;
};

const Head = z.object({
  name: z.string(),
  guid: z.string(),
  baseGuid: z.string().optional(),
  /** How many bytes of the base's beginning and end stay. */
  prefix: z.number(),
  suffix: z.number(),
});

/** Sends a dataset: of one that builds on a base, the bytes that changed. A line of JSON, the bytes, a barrier. */
export async function sendDataset(fs: Channel, dataset: Sending, base: Base | undefined): Promise<void> {
  const { name, guid, content } = dataset;
  const { prefix, suffix } = base === undefined ? { prefix: 0, suffix: 0 } : sharedEnds(base.content, content);
  const head = { name, guid, ...(base === undefined ? {} : { baseGuid: base.guid }), prefix, suffix };
  await fs.send(Buffer.from(JSON.stringify(head)));
  await fs.sendPart(content.subarray(prefix, content.length - suffix));
}

/** Receives a dataset; `left` is how many bytes there is room for. */
export async function receiveDataset(fs: Channel, left: () => number): Promise<Received> {
  const head = Head.parse(JSON.parse((await fs.message()).toString("utf8")));
  const chunks: Buffer[] = [];
  for (let frame = await fs.next(); frame.kind === "data"; frame = await fs.next()) {
    chunks.push(frame.bytes);
    if (left() < 0) throw new Refusal(500, "write: no space left on device");
  }
  const middle = Buffer.concat(chunks);
  const { name, guid, baseGuid, prefix, suffix } = head;
  const on = (base: Buffer = Buffer.alloc(0)): Buffer =>
    Buffer.concat([base.subarray(0, prefix), middle, base.subarray(base.length - suffix)]);
  return { name, guid, baseGuid, on };
}

function sharedEnds(base: Buffer, content: Buffer): { prefix: number; suffix: number } {
  const shorter = Math.min(base.length, content.length);
  let prefix = 0;
  while (prefix < shorter && base[prefix] === content[prefix]) prefix += 1;
  let suffix = 0;
  while (suffix < shorter - prefix && base[base.length - 1 - suffix] === content[content.length - 1 - suffix])
    suffix += 1;
  return { prefix, suffix };
}
