import { createServer as createPlainServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { fingerprintOf, peekCertificate } from "../../src/incus/tls.ts";
import { Secret } from "../../src/model/secret.ts";
import { makeCertificate, type TestCertificate } from "./certificates.ts";
import {
  clientCertificate,
  connectTo,
  fingerprintOfPeer,
  listening,
  serve,
  serverCertificate,
  sync,
} from "./local-server.ts";

const authority = makeCertificate({ name: "Some CA" });

const impostors = [
  { name: "signs itself and bears the same name", certificate: makeCertificate() },
  { name: "has a certificate of a CA", certificate: makeCertificate({ issuer: authority }) },
];

test.each(impostors)("request() tells not a byte to a server that $name", async ({ certificate }) => {
  const impostor = await eavesdropper(certificate);
  const connection = connectTo({ url: impostor.url, certificate: serverCertificate });
  const asked = connection.request({ method: "GET", path: "/1.0" }, new AbortController().signal);
  await expect(asked).rejects.toMatchObject({
    code: "trust.mismatch",
    message: expect.stringMatching(
      `${fingerprintOf(certificate.certificate, "")}.*${fingerprintOf(serverCertificate.certificate, "")}`,
    ),
  });
  expect(await impostor.heard()).toBe(0);
});

test.each(impostors)("openWebsocket() tells not a byte to a server that $name", async ({ certificate }) => {
  const impostor = await eavesdropper(certificate);
  const connection = connectTo({ url: impostor.url, certificate: serverCertificate });
  const opened = connection.openWebsocket("/1.0/events", new AbortController().signal);
  await expect(opened).rejects.toMatchObject({ code: "trust.mismatch" });
  expect(await impostor.heard()).toBe(0);
});

test("the eavesdropper of these tests hears what is sent to a server that is trusted", async ({ signal }) => {
  const server = await eavesdropper(serverCertificate);
  const connection = connectTo({ url: server.url, certificate: serverCertificate });
  await expect(connection.request({ method: "POST", path: "/1.0" }, signal)).rejects.toThrow("closed the connection");
  expect(await server.heard()).toBeGreaterThan(0);
  expect(server.clients).toEqual([fingerprintOf(clientCertificate.certificate, "")]);
});

const pinned = [
  { name: "signed by itself", certificate: serverCertificate },
  { name: "expired", certificate: makeCertificate({ expired: true }) },
  { name: "issued by a CA that nobody knows", certificate: makeCertificate({ issuer: authority }) },
  { name: "made for another name", certificate: makeCertificate({ name: "elsewhere.example" }) },
];

test.each(pinned)("request() and openWebsocket() trust the pinned certificate when it is $name", async (given) => {
  const { signal } = new AbortController();
  const server = await serve(({ response }) => sync(response, { auth: "trusted" }), given.certificate);
  const connection = connectTo(server);
  expect(await connection.request({ method: "GET", path: "/1.0" }, signal)).toMatchObject({ kind: "sync" });
  expect((await connection.openWebsocket("/1.0/events", signal)).isPaused).toBe(true);
});

test("a server's certificate that is exchanged during a run is noticed by the next connection", async ({ signal }) => {
  const server = await serve(({ response }) => sync(response, {}));
  const connection = connectTo(server);
  await connection.request({ method: "GET", path: "/1.0" }, signal);
  server.setCertificate(makeCertificate());
  for (const socket of server.sockets) socket.destroy();
  const asked = connection.request({ method: "GET", path: "/1.0" }, signal);
  await expect(asked).rejects.toMatchObject({ code: "trust.mismatch" });
  expect(server.requests).toHaveLength(1);
});

test("connections are TLS 1.3, show the client certificate and resume no session", async ({ signal }) => {
  const server = await serve(({ response }) => {
    response.setHeader("connection", "close");
    sync(response, {});
  });
  const connection = connectTo(server);
  for (let i = 0; i < 3; i += 1) await connection.request({ method: "GET", path: "/1.0" }, signal);
  const client = fingerprintOf(clientCertificate.certificate, "");
  expect(server.sessions).toEqual(Array(3).fill({ client, protocol: "TLSv1.3", resumed: false }));
});

test("peekCertificate() shows the certificate, and says neither who we are nor a byte of HTTP", async ({ signal }) => {
  const server = await eavesdropper(serverCertificate);
  const peeked = await peekCertificate({ host: "prod", url: new URL(server.url) }, signal);
  expect(peeked.fingerprint).toBe(fingerprintOf(serverCertificate.certificate, ""));
  expect(fingerprintOf(peeked.pem, "")).toBe(peeked.fingerprint);
  expect(await server.heard()).toBe(0);
  expect(server.clients).toEqual([]);
});

const unusable = [
  { name: "a pin that is no certificate", pin: "nonsense", key: clientCertificate.key },
  { name: "a key that is none", pin: serverCertificate.certificate, key: "nonsense" },
  { name: "a key of another certificate", pin: serverCertificate.certificate, key: serverCertificate.key },
];

test.each(unusable)("openConnection() refuses $name", ({ pin, key }) => {
  const credentials = { certificate: clientCertificate.certificate, key: new Secret(key), pin };
  const open = () => connectTo({ url: "https://127.0.0.1:1", certificate: serverCertificate }, { credentials });
  expect(open).toThrow(expect.objectContaining({ code: "credentials.unusable" }));
});

const strangers = [
  { name: "nothing listens", port: closedPort, why: "nothing listens there" },
  {
    name: "a plain http server",
    port: () => listening(closedAfterwards(createPlainServer())),
    why: "not speak TLS there",
  },
  { name: "a server without TLS 1.3", port: () => listening(closedAfterwards(oldTls())), why: "not speak TLS 1.3" },
  { name: "a server that hangs up", port: () => listening(closedAfterwards(hangsUp())), why: "closed the connection" },
  {
    name: "a server that says nothing",
    port: () => listening(closedAfterwards(createTcpServer())),
    why: "within 300 ms",
  },
];

test.each(strangers)("request() says why there is no connection: $name", async ({ port, why }) => {
  const { signal } = new AbortController();
  const url = `https://127.0.0.1:${await port()}`;
  const connection = connectTo({ url, certificate: serverCertificate }, { limits: { connectTimeoutMs: 300 } });
  await expect(connection.request({ method: "GET", path: "/1.0" }, signal)).rejects.toMatchObject({
    code: "incus.unreachable",
    message: expect.stringMatching(new RegExp(`^Cannot connect to prod \\(${url}\\): .*${why}`)),
    hint: expect.any(String),
  });
});

test("request() says so when the name cannot be resolved", async ({ signal }) => {
  const connection = connectTo({ url: "https://nowhere.invalid:8443", certificate: serverCertificate });
  await expect(connection.request({ method: "GET", path: "/1.0" }, signal)).rejects.toMatchObject({
    code: "incus.unreachable",
    message: expect.stringContaining("its name cannot be resolved"),
  });
});

test("peekCertificate() refuses an address without https", async ({ signal }) => {
  const peeked = peekCertificate({ host: "prod", url: new URL("http://127.0.0.1:1") }, signal);
  await expect(peeked).rejects.toMatchObject({ code: "incus.unreachable", message: expect.stringContaining("https") });
});

type Eavesdropper = {
  readonly url: string;
  /** Bytes of HTTP, once every connection so far has ended. */
  heard(): Promise<number>;
  /** The fingerprints of the clients that told who they are. */
  readonly clients: readonly string[];
};

/** A TLS server that keeps quiet and counts every byte it is told after the handshake. */
async function eavesdropper(certificate: TestCertificate): Promise<Eavesdropper> {
  let heard = 0;
  const clients: string[] = [];
  const ends: Promise<unknown>[] = [];
  const options = { cert: certificate.certificate, key: certificate.key, requestCert: true, rejectUnauthorized: false };
  const server = createTlsServer(options, (socket) => {
    const client = fingerprintOfPeer(socket);
    if (client !== undefined) clients.push(client);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      heard += chunk.length;
      socket.destroy();
    });
  });
  server.on("connection", (socket) => ends.push(new Promise((resolve) => socket.once("close", resolve))));
  const port = await listening(closedAfterwards(server));
  const url = `https://127.0.0.1:${port}`;
  const heardInAll = async () => {
    if (ends.length === 0) throw new Error("nobody came");
    await Promise.all(ends);
    return heard;
  };
  return { url, heard: heardInAll, clients };
}

function oldTls() {
  const { certificate, key } = serverCertificate;
  return createTlsServer({ cert: certificate, key, maxVersion: "TLSv1.2" });
}

function hangsUp() {
  return createTcpServer((socket) => void socket.destroy());
}

async function closedPort(): Promise<number> {
  const server = createTcpServer();
  const port = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function closedAfterwards<T extends { close(): unknown }>(server: T): T {
  onTestFinished(() => void server.close());
  return server;
}
