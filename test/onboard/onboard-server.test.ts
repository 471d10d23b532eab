import { createPrivateKey, X509Certificate } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import type { ClientIdentity, Trust } from "../../src/model/trust-ports.ts";
import { clientCertificate } from "../../src/onboard/client-certificate.ts";
import { readCredentials } from "../../src/onboard/credentials.ts";
import { type OnboardWorld, onboardServer } from "../../src/onboard/onboard-server.ts";
import { keyPairs } from "../../src/system/key-pairs.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";

const NOW = Date.parse("2026-11-20T03:00:00Z");
const URL_A = "https://192.0.2.10:8443";
const FOLDER = "/etc/iab/credentials";
const PIN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const RIGHT = "a".repeat(64);
const WRONG = "b".repeat(64);

/** A server that shows one certificate, and trusts whoever brings its token. */
type Server = { trust: Trust; heard: string[]; trusted: boolean };

function server(
  options: { shows?: string; trusted?: boolean; unreachable?: string[]; forgetful?: boolean } = {},
): Server {
  const it: Server = { heard: [], trusted: options.trusted ?? false, trust: undefined as unknown as Trust };
  it.trust = {
    async peek(url) {
      it.heard.push(`peek ${url}`);
      if (options.unreachable?.includes(url)) throw new Error(`no answer from ${url}`);
      return { certificate: PIN, fingerprint: options.shows ?? RIGHT };
    },
    fingerprint: () => RIGHT,
    isTrusted: async () => it.trusted,
    async redeem(_url, _pin, _identity, whole) {
      it.heard.push(`redeem ${whole.reveal().length > 0}`);
      it.trusted = options.forgetful !== true;
    },
  };
  return it;
}

function token(content: Record<string, unknown> = {}): string {
  return btoa(
    JSON.stringify({
      client_name: "iab",
      fingerprint: RIGHT,
      addresses: ["198.51.100.1:8443", "192.0.2.10:8443"],
      secret: "s3cret-in-the-token",
      expires_at: "0001-01-01T00:00:00Z",
      ...content,
    }),
  );
}

let identity: ClientIdentity;
beforeAll(async () => {
  const { publicKey, privateKey } = await keyPairs.generate();
  const keys = { publicKey, privateKey: privateKey.reveal() };
  identity = { certificate: clientCertificate(keys, NOW, "01"), key: privateKey };
});

function world(trust: Trust, initial: Record<string, string> = {}): OnboardWorld & { readonly written: string[] } {
  const { files } = memoryWorld({ files: initial });
  const written: string[] = [];
  const pair = {
    publicKey: new X509Certificate(identity.certificate).publicKey.export({ type: "spki", format: "pem" }).toString(),
    privateKey: identity.key,
  };
  return {
    trust,
    // All that is written is recorded, also what replaces a file that was there.
    files: {
      ...files,
      writePrivate: async (path, text) => {
        written.push(path);
        await files.writePrivate(path, text);
      },
    },
    written,
    keyPairs: { generate: async () => pair },
    now: NOW,
    serial: "0a1b",
  };
}

test("onboardServer() makes an identity, hands the token in and pins what it has seen to be trusted", async ({
  signal,
}) => {
  const { trust, heard } = server();
  const w = world(trust);
  const done = await onboardServer({ side: "source", url: URL_A, token: token() }, FOLDER, w, signal);
  expect(done).toMatchObject({ url: URL_A, pin: PIN, alreadyTrusted: false });
  expect(heard).toEqual([`peek ${URL_A}`, "redeem true"]);
  expect(w.written).toEqual([
    `${FOLDER}/iab_client.key`,
    `${FOLDER}/iab_client.crt`,
    `${FOLDER}/servers/192.0.2.10_8443.pem`,
  ]);
});

test("onboardServer() uses an identity that is there, and no token where it is trusted already", async ({ signal }) => {
  const { trust, heard } = server({ trusted: true });
  const w = world(trust, {
    [`${FOLDER}/iab_client.key`]: identity.key.reveal(),
    [`${FOLDER}/iab_client.crt`]: identity.certificate,
  });
  const done = await onboardServer({ side: "target", url: URL_A, token: token() }, FOLDER, w, signal);
  expect(done.alreadyTrusted).toBe(true);
  expect(heard).toEqual([`peek ${URL_A}`]);
  expect(w.written).toEqual([`${FOLDER}/servers/192.0.2.10_8443.pem`]);
});

const EXPIRED = { expires_at: "2026-11-20T02:59:59Z" };

test.each([
  { name: "takes an expired token where it is trusted already", answers: { trusted: true }, rejects: undefined },
  { name: "refuses an expired token where it is not trusted", answers: {}, rejects: { code: "usage" } },
  {
    name: "refuses an expired token of another server, trusted or not",
    answers: { trusted: true, shows: WRONG },
    rejects: { code: "trust.mismatch" },
  },
])("onboardServer() with an identity $name", async ({ answers, rejects }) => {
  const { trust, heard } = server(answers);
  const w = world(trust, {
    [`${FOLDER}/iab_client.key`]: identity.key.reveal(),
    [`${FOLDER}/iab_client.crt`]: identity.certificate,
  });
  const invitation = { side: "source", url: URL_A, token: token(EXPIRED) } as const;
  const done = onboardServer(invitation, FOLDER, w, new AbortController().signal);
  if (rejects === undefined) await expect(done).resolves.toMatchObject({ pin: PIN, alreadyTrusted: true });
  else await expect(done).rejects.toMatchObject(rejects);
  expect(heard).toEqual([`peek ${URL_A}`]);
  expect(w.written).toEqual(rejects === undefined ? [`${FOLDER}/servers/192.0.2.10_8443.pem`] : []);
});

test("onboardServer() sends nothing to a server with another certificate", async ({ signal }) => {
  const { trust, heard } = server({ shows: WRONG });
  const w = world(trust);
  const refused = onboardServer({ side: "source", url: URL_A, token: token() }, FOLDER, w, signal);
  await expect(refused).rejects.toMatchObject({ code: "trust.mismatch", message: expect.stringContaining(WRONG) });
  await expect(refused).rejects.toThrow(RIGHT);
  expect(heard).toEqual([`peek ${URL_A}`]);
  expect(w.written).toEqual([]);
});

test("onboardServer() tries the token's addresses in turn when none is given", async ({ signal }) => {
  const { trust, heard } = server({ unreachable: ["https://198.51.100.1:8443"] });
  const done = await onboardServer({ side: "source", url: undefined, token: token() }, FOLDER, world(trust), signal);
  expect(done.url).toBe(URL_A);
  expect(heard.slice(0, 2)).toEqual(["peek https://198.51.100.1:8443", `peek ${URL_A}`]);
});

test("onboardServer() goes on without a token where an earlier pin vouches for the server", async ({ signal }) => {
  const { trust } = server({ trusted: true });
  const w = world(trust, {
    [`${FOLDER}/servers/192.0.2.10.pem`]: PIN,
    [`${FOLDER}/iab_client.key`]: identity.key.reveal(),
    [`${FOLDER}/iab_client.crt`]: identity.certificate,
  });
  await onboardServer({ side: "source", url: URL_A, token: undefined }, FOLDER, w, signal);
  expect(w.written).toEqual([`${FOLDER}/servers/192.0.2.10_8443.pem`]);
});

test("onboardServer() pins nothing where the server still does not trust the agent", async ({ signal }) => {
  const w = world(server({ forgetful: true }).trust);
  const refused = onboardServer({ side: "source", url: URL_A, token: token() }, FOLDER, w, signal);
  await expect(refused).rejects.toMatchObject({ code: "trust.token", hint: expect.stringContaining("clock") });
  expect(w.written).not.toContain(`${FOLDER}/servers/192.0.2.10_8443.pem`);
});

const broken = [
  { name: "an empty token", text: "  ", says: "it is empty" },
  { name: "a wrapped token", text: "abc def", says: "it has characters that no token has; was it cut or wrapped?" },
  { name: "a cut token", text: token().slice(0, 41), says: "it does not decode; was it cut?" },
  { name: "base64 of something else", text: btoa("hello"), says: "it does not decode; was it cut?" },
  { name: "no secret", text: token({ secret: "" }), says: "secret is missing or not as it should be" },
  { name: "no addresses", text: token({ addresses: [] }), says: "addresses is missing or not as it should be" },
  {
    name: "a short fingerprint",
    text: token({ fingerprint: "abc" }),
    says: "fingerprint is missing or not as it should be",
  },
  {
    name: "no client name",
    text: token({ client_name: undefined }),
    says: "client_name is missing or not as it should be",
  },
  {
    name: "an expired token",
    text: token(EXPIRED),
    says: "it expired at 2026-11-20T02:59:59Z",
  },
];
test.each(broken)("onboardServer() refuses $name before it speaks to the server", async ({ text, says }) => {
  const { trust, heard } = server();
  const w = world(trust);
  const refused = onboardServer({ side: "target", url: URL_A, token: text }, FOLDER, w, new AbortController().signal);
  await expect(refused).rejects.toMatchObject({ code: "usage", message: expect.stringContaining(says) });
  await expect(refused).rejects.not.toThrow(/s3cret/);
  expect(heard).toEqual([]);
  expect(w.written).toEqual([]);
});

const urls = [
  { typed: "192.0.2.10", url: URL_A },
  { typed: "https://192.0.2.10", url: URL_A },
  { typed: " https://192.0.2.10:8443/ ", url: URL_A },
  { typed: "https://backup.example:443", url: "https://backup.example:443" },
  { typed: "[2001:db8::1]:9443", url: "https://[2001:db8::1]:9443" },
];
test.each(urls)("onboardServer() understands the address $typed", async ({ typed, url }) => {
  const { trust, heard } = server();
  await onboardServer(
    { side: "source", url: typed, token: token() },
    FOLDER,
    world(trust),
    new AbortController().signal,
  );
  expect(heard[0]).toBe(`peek ${url}`);
});

const badUrls = [
  { typed: "http://192.0.2.10:8443", says: "it begins with http://" },
  { typed: "unix:///var/lib/incus/unix.socket", says: "it begins with unix://" },
  { typed: "https://me:pw@192.0.2.10", says: "it holds a name or a password" },
  { typed: "https://", says: "it is not an address" },
];
test.each(badUrls)("onboardServer() refuses the address $typed", async ({ typed, says }) => {
  const { trust, heard } = server();
  const refused = onboardServer(
    { side: "source", url: typed, token: token() },
    FOLDER,
    world(trust),
    new AbortController().signal,
  );
  await expect(refused).rejects.toMatchObject({ code: "usage", message: expect.stringContaining(says) });
  await expect(refused).rejects.not.toThrow(/pw/);
  expect(heard).toEqual([]);
});

test("clientCertificate() is for its key, for clients, valid now and for ten years", () => {
  const certificate = new X509Certificate(identity.certificate);
  expect(certificate.checkPrivateKey(createPrivateKey(identity.key.reveal()))).toBe(true);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.subject).toBe("CN=incus-autobackup");
  expect(certificate.ca).toBe(false);
  expect(Date.parse(certificate.validFrom)).toBeLessThan(NOW);
  expect(Date.parse(certificate.validTo)).toBeGreaterThan(Date.parse("2036-01-01"));
});

test("readCredentials() keeps two servers on one host apart, and falls back to IAB 1.2.0's name", async ({
  signal,
}) => {
  const other = PIN.replace("AAAA", "BBBB");
  const { files } = memoryWorld({
    files: {
      [`${FOLDER}/iab_client.key`]: identity.key.reveal(),
      [`${FOLDER}/iab_client.crt`]: identity.certificate,
      [`${FOLDER}/servers/host_8443.pem`]: PIN,
      [`${FOLDER}/servers/host.pem`]: other,
    },
  });
  expect((await readCredentials(FOLDER, "https://host:8443", files, signal)).pin).toBe(PIN);
  expect((await readCredentials(FOLDER, "https://host:9443", files, signal)).pin).toBe(other);
});

const unusable = [
  { name: "nothing", there: {}, says: "Cannot find the agent's certificate and key" },
  {
    name: "a certificate without its key",
    there: { [`${FOLDER}/iab_client.crt`]: PIN },
    says: "iab_client.key is missing",
  },
  {
    name: "a key without its certificate",
    there: { [`${FOLDER}/iab_client.key`]: "x" },
    says: "iab_client.crt is missing",
  },
  {
    name: "a certificate that is none",
    there: { [`${FOLDER}/iab_client.crt`]: "hello", [`${FOLDER}/iab_client.key`]: "x" },
    says: "there is no PEM certificate in it",
  },
];
test.each(unusable)("readCredentials() says what is wrong where there is $name", async ({ there, says }) => {
  const { files } = memoryWorld({ files: there });
  const refused = readCredentials(FOLDER, URL_A, files, new AbortController().signal);
  await expect(refused).rejects.toMatchObject({ code: "credentials.unusable", message: expect.stringContaining(says) });
});

test("readCredentials() names the server whose pin is missing", async ({ signal }) => {
  const { files } = memoryWorld({
    files: {
      [`${FOLDER}/iab_client.key`]: identity.key.reveal(),
      [`${FOLDER}/iab_client.crt`]: identity.certificate,
    },
  });
  await expect(readCredentials(FOLDER, URL_A, files, signal)).rejects.toThrow(/pinned certificate of https:\/\/192/);
});
