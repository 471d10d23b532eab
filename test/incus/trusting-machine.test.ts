import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeCertificate, type TestCertificate } from "./certificates.ts";
import { clientCertificate, serve, serverCertificate, sync } from "./local-server.ts";

// A machine whose system trusts a CA, and a man in the middle who has a certificate of that CA for the right name.
const authority = makeCertificate({ name: "A CA that the system trusts" });
const impostor = makeCertificate({ issuer: authority });
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "iab-trusting-"));
  await writeFile(join(folder, "ca.pem"), authority.certificate);
  await build({
    entryPoints: [join(import.meta.dirname, "trusting-client.ts")],
    outfile: join(folder, "client.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "warning",
  });
});
afterAll(() => rm(folder, { recursive: true }));

/** What a program on that machine makes of the server when it has this pin. */
async function onTrustingMachine(url: string, pin: TestCertificate): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, "client.mjs")], {
    env: {
      NODE_EXTRA_CA_CERTS: join(folder, "ca.pem"),
      SERVER_URL: url,
      PIN: pin.certificate,
      CERTIFICATE: clientCertificate.certificate,
      KEY: clientCertificate.key,
    },
  });
  return JSON.parse(stdout);
}

test("a man in the middle whose CA the system trusts gets no byte of HTTP, by request or by websocket", async () => {
  const server = await serve(({ response }) => sync(response, {}), impostor);
  const seen = await onTrustingMachine(server.url, serverCertificate);
  expect(seen).toEqual({ ordinary: 200, request: "trust.mismatch", websocket: "trust.mismatch" });
  // The one request is that of the ordinary client, which shows that the system does trust the CA.
  expect(server.requests).toEqual(["GET /"]);
});

test("a server whose CA the system does not trust is trusted by its pin alone", async () => {
  const server = await serve(({ response }) => sync(response, {}), serverCertificate);
  const seen = await onTrustingMachine(server.url, serverCertificate);
  expect(seen).toEqual({ ordinary: "DEPTH_ZERO_SELF_SIGNED_CERT", request: "answered", websocket: "open" });
});
