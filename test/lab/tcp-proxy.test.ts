import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

/** An echo server and a proxy before it, both new for each test. */
let echo: Server;
let proxy: TcpProxy;

beforeEach(async () => {
  echo = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  proxy = await openTcpProxy({ host: "127.0.0.1", port: (echo.address() as AddressInfo).port });
});

afterEach(async () => {
  await proxy.close();
  echo.close();
});

async function open(): Promise<Socket> {
  const socket = connect(proxy.port, proxy.host);
  await once(socket, "connect");
  return socket;
}

async function read(socket: Socket, bytes: number): Promise<string> {
  let text = "";
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    text += String(part);
    if (text.length >= bytes) break;
  }
  return text;
}

async function endOf(socket: Socket): Promise<string> {
  const [error] = await once(socket, "error").catch((thrown: unknown) => [thrown]);
  return (error as NodeJS.ErrnoException).code ?? "";
}

test("openTcpProxy() passes bytes both ways and counts them and the connections", async () => {
  const first = await open();
  const second = await open();
  first.write("hello");
  expect(await read(first, 5)).toBe("hello");
  second.write("you");
  expect(await read(second, 3)).toBe("you");
  expect(proxy.accepted()).toBe(2);
  expect(proxy.open()).toBe(2);
  expect(proxy.bytes("to-server")).toBe(8);
  expect(proxy.bytes("both")).toBe(16);
  first.destroy();
  second.destroy();
});

test("openTcpProxy() hands an end of the stream on", async () => {
  const socket = await open();
  socket.end("last words");
  expect(await read(socket, 10)).toBe("last words");
  await once(socket, "close");
  expect(socket.readableEnded).toBe(true);
});

test("cutAfter() resets the connections at the byte it names", async () => {
  const socket = await open();
  proxy.cutAfter(4, "to-server");
  const ended = endOf(socket);
  const struck = proxy.struck();
  socket.write("123456");
  await struck;
  expect(await ended).toBe("ECONNRESET");
  expect(proxy.bytes("to-server")).toBe(4);
  expect(proxy.open()).toBe(0);
});

test("cutAfter(0) resets now, and heal() lets new connections through", async () => {
  const socket = await open();
  socket.write("x");
  await read(socket, 1);
  const ended = endOf(socket);
  proxy.cutAfter(0);
  expect(await ended).toBe("ECONNRESET");
  proxy.heal();
  const next = await open();
  next.write("y");
  expect(await read(next, 1)).toBe("y");
  next.destroy();
});

test("stallAfter() holds bytes back without an end, and heal() sends them on", async () => {
  const socket = await open();
  proxy.stallAfter(3, "to-server");
  const struck = proxy.struck();
  socket.write("abcdef");
  await struck;
  expect(await read(socket, 3)).toBe("abc");
  expect(proxy.open()).toBe(1);
  expect(proxy.bytes("to-server")).toBe(3);
  proxy.heal();
  expect(await read(socket, 3)).toBe("def");
  socket.destroy();
});

test("refuse() resets new connections and leaves the old ones alone", async () => {
  const old = await open();
  old.write("x");
  await read(old, 1);
  proxy.refuse();
  const refused = connect(proxy.port, proxy.host);
  expect(await endOf(refused)).toBe("ECONNRESET");
  old.write("y");
  expect(await read(old, 1)).toBe("y");
  old.destroy();
});
