import { once } from "node:events";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { type Frame, type Inspect, type Meter, passOn, pump } from "../../src/incus/relay-pump.ts";
import { openSocketServer, type SocketPair } from "./socket-pairs.ts";

let server: Awaited<ReturnType<typeof openSocketServer>>;
let source: SocketPair;
let target: SocketPair;

beforeEach(async () => {
  server = await openSocketServer();
  source = await server.connect();
  target = await server.connect();
});
afterEach(() => server.close());

type Options = {
  toTarget?: Inspect;
  toSource?: Inspect;
  meter?: Meter;
  signal?: AbortSignal;
  ending?: AbortSignal;
};

function start(options: Options = {}): Promise<void> {
  const { toTarget = passOn, toSource = passOn, meter = () => 0, ending = new AbortController().signal } = options;
  const { signal = new AbortController().signal } = options;
  return pump({ source: source.ours, target: target.ours, toTarget, toSource, meter, ending }, signal);
}

function text(content: string): Frame {
  return { data: Buffer.from(content), isBinary: false };
}

function binary(content: string): Frame {
  return { data: Buffer.from(content), isBinary: true };
}

function send(socket: WebSocket, frames: readonly Frame[]): void {
  for (const frame of frames) socket.send(frame.data, { binary: frame.isBinary });
}

/** Everything that arrives until the socket is closed, and how it was closed. */
async function received(socket: WebSocket): Promise<{ frames: Frame[]; code: number; reason: string }> {
  const frames: Frame[] = [];
  socket.on("message", (data: Buffer, isBinary) => frames.push({ data, isBinary }));
  const [code, reason] = await once(socket, "close");
  return { frames, code, reason: reason.toString() };
}

test("pump() keeps types, order and borders of messages, and empty texts", async () => {
  const frames = [binary("header"), text(""), binary(""), binary("a"), binary("b"), text("note"), text("")];
  const pumped = start();
  const arrived = received(target.remote);
  send(source.remote, frames);
  source.remote.close(1000);
  expect((await arrived).frames).toEqual(frames);
  await pumped;
});

test("pump() passes any messages both ways at the same time", async () => {
  const frame = fc.record({
    data: fc.uint8Array({ maxLength: 70_000 }).map((a) => Buffer.from(a)),
    isBinary: fc.boolean(),
  });
  const asText = (f: Frame) => (f.isBinary ? f : text(f.data.toString("hex")));
  await fc.assert(
    fc.asyncProperty(fc.array(frame.map(asText)), fc.array(frame.map(asText)), async (there, back) => {
      source = await server.connect();
      target = await server.connect();
      const pumped = start();
      const answered = new Promise<Frame[]>((resolve) => {
        const frames: Frame[] = [];
        source.remote.on("message", (data: Buffer, isBinary) => {
          frames.push({ data, isBinary });
          if (frames.length > back.length) resolve(frames);
        });
      });
      const arrived = received(target.remote);
      send(source.remote, there);
      send(target.remote, [...back, text("end")]);
      expect(await answered).toEqual([...back, text("end")]);
      source.remote.close(1000);
      expect((await arrived).frames).toEqual(there);
      await pumped;
    }),
    { numRuns: 30 },
  );
});

test("pump() closes the twin with the same code and reason", async () => {
  const pumped = start();
  const arrived = received(source.remote);
  target.remote.close(1000, "done");
  expect(await arrived).toEqual({ frames: [], code: 1000, reason: "done" });
  await pumped;
});

test("pump() ends the twin without a close message when a connection broke, and calls that no error", async () => {
  const pumped = start();
  const arrived = received(target.remote);
  send(source.remote, [binary("the last of it")]);
  await once(target.remote, "message");
  source.remote.terminate();
  expect((await arrived).code).toBe(1006);
  await pumped;
});

test("pump() writes all that it has read before it ends the twin of a broken connection", async () => {
  const size = 300_000;
  target.remote.pause();
  let read = 0;
  const pumped = start({
    toTarget: (frame) => {
      read += 1;
      if (read === 3) source.remote.terminate();
      return [frame];
    },
  });
  send(source.remote, Array(3).fill(binary("x".repeat(size))));
  await once(source.ours, "close");
  const arrived = received(target.remote);
  target.remote.resume();
  expect((await arrived).frames.map((frame) => frame.data.length)).toEqual([size, size, size]);
  await pumped;
});

test("pump() stops reading while the writer is full", async () => {
  const frame = binary("x".repeat(32 * 1024));
  const total = 4096;
  let read = 0;
  let mostWaiting = 0;
  target.remote.pause();
  const pumped = start({
    toTarget: (passing) => {
      read += 1;
      mostWaiting = Math.max(mostWaiting, target.ours.bufferedAmount);
      return [passing];
    },
  });
  const arrived = received(target.remote);
  send(source.remote, Array(total).fill(frame));
  source.remote.close(1000);
  while (!source.ours.isPaused) await new Promise((resolve) => setImmediate(resolve));
  expect(read).toBeLessThan(total);
  target.remote.resume();
  expect((await arrived).frames.length).toBe(total);
  expect(mostWaiting).toBeLessThan(2 * 1024 * 1024);
  await pumped;
});

test("pump() waits as long as the meter says, and asks it again before it goes on", async () => {
  const booked: number[] = [];
  const waits = [5, 3, 0];
  const pumped = start({
    meter: (bytes) => {
      booked.push(bytes);
      return waits.shift() ?? 0;
    },
  });
  const arrived = received(target.remote);
  send(source.remote, [binary("four")]);
  await once(target.remote, "message");
  send(source.remote, [binary("seven..")]);
  source.remote.close(1000);
  expect((await arrived).frames).toEqual([binary("four"), binary("seven..")]);
  expect(booked).toEqual([4, 0, 0, 7]);
  await pumped;
});

test("pump() meters what goes to the target and not what comes back", async () => {
  const booked: number[] = [];
  const pumped = start({ meter: (bytes) => booked.push(bytes) && 0 });
  const arrived = received(source.remote);
  send(target.remote, [binary("an answer")]);
  target.remote.close(1000);
  expect((await arrived).frames).toEqual([binary("an answer")]);
  expect(booked).toEqual([]);
  await pumped;
});

test("pump() sends what inspect() makes of a message", async () => {
  const pumped = start({ toTarget: (frame) => (frame.isBinary ? [binary("1"), binary("2")] : []) });
  const arrived = received(target.remote);
  send(source.remote, [text("swallowed"), binary("doubled")]);
  source.remote.close(1000);
  expect((await arrived).frames).toEqual([binary("1"), binary("2")]);
  await pumped;
});

test("pump() passes nothing on, from the message on that inspect() refuses", async () => {
  const refusal = new Error("not what was asked for");
  const pumped = start({
    toTarget: (frame) => {
      if (frame.data.toString() === "bad") throw refusal;
      return [frame];
    },
  });
  const [atTarget, atSource] = [received(target.remote), received(source.remote)];
  send(source.remote, [binary("good"), binary("bad"), binary("good")]);
  await expect(pumped).rejects.toBe(refusal);
  expect((await atTarget).frames.length).toBeLessThan(2);
  expect((await atSource).code).toBe(1006);
});

test("pump() ends both connections when the signal says so, whether before or during the transfer", async () => {
  const controller = new AbortController();
  const pumped = start({ signal: controller.signal });
  const ended = Promise.all([received(target.remote), received(source.remote)]);
  send(source.remote, [binary("first")]);
  await once(target.remote, "message");
  controller.abort(new Error("enough"));
  await expect(pumped).rejects.toThrow("enough");
  expect((await ended).map(({ code }) => code)).toEqual([1006, 1006]);

  source = await server.connect();
  target = await server.connect();
  await expect(start({ signal: controller.signal })).rejects.toThrow("enough");
});

test("pump() ends at once when a connection was lost before it began", async () => {
  source.ours.terminate();
  await once(source.remote, "close");
  await start();
  expect(target.ours.readyState).toBe(target.ours.CLOSED);
});

test("pump() that is ending cuts the source off, passes nothing on, and waits for the target's word", async () => {
  const ending = new AbortController();
  const pumped = start({ ending: ending.signal });
  const [atSource, atTarget] = [received(source.remote), received(target.remote)];
  send(source.remote, [binary("offer")]);
  await once(target.remote, "message");
  ending.abort();
  expect((await atSource).code).toBe(1006);
  expect(target.remote.readyState).toBe(target.remote.OPEN);
  send(target.remote, [binary("all is well")]);
  await pumped;
  expect(await atTarget).toMatchObject({ frames: [binary("offer")], code: 1006 });
});

test("pump() that is ending ends as soon as the target has nothing to say, and at the signal", async () => {
  const ending = AbortSignal.abort();
  const closed = start({ ending });
  target.remote.close(1000);
  await closed;
  target = await server.connect();
  source = await server.connect();
  const enough = new AbortController();
  const silent = start({ ending, signal: enough.signal });
  enough.abort(new Error("enough"));
  await expect(silent).rejects.toThrow("enough");
});
