import { createServer as createPlainServer } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { createServer as createTlsServer, rootCertificates } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { fingerprintOf, peekCertificate, pinnedDial } from "../../src/incus/tls.ts";
import { Secret } from "../../src/model/secret.ts";
import { makeCertificate, type TestCertificate } from "./certificates.ts";
import { connectTo, credentialsFor, listening, serve, serverCertificate, sync } from "./local-server.ts";

const authority = makeCertificate({ name: "Some CA" });

/** A TLS server that keeps every byte of what it is told after the handshake. */
async function eavesdropper(certificate: TestCertificate): Promise<{ url: string; heard: () => number; met: () => number }> {
  let heard = 0;
  let met = 0;
  const server = createTlsServer({ cert: certificate.certificate, key: certificate.key }, (socket) => {
    met += 1;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      heard += chunk.length;
    });
  });
  const port = await listening(server);
  onTestFinished(() => void server.close());
  return { url: `https://127.0.0.1:${port}`, heard: () => heard, met: () => met };
}

const impostors = [
  { name: "signs itself and bears the same name", certificate: makeCertificate() },
  { name: "has a certificate of a CA", certificate: makeCertificate({ issuer: authority }) },
];

test.each(impostors)("request() tells not a byte to a server that $name", async ({ certificate, signal }) => {
  const server = await eavesdropper(certificate);
  const connection = connectTo({ url: server.url, certificate: serverCertificate });
  const asked = connection.request({ method: "GET", path: "/1.0" }, new AbortController().signal);
  await expect(asked).rejects.toMatchObject({ code: "trust.mismatch" });
  expect(server.met()).toBe(1);
  expect(server.heard()).toBe(0);
});
