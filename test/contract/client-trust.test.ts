import { expect, test } from "vitest";
import { trustOver } from "../../src/incus/trust.ts";
import { Secret } from "../../src/model/secret.ts";
import { systemClock } from "../../src/system/clock.ts";
import { makeCertificate } from "../incus/certificates.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { makeToken, removeTrust } from "../lab/trust.ts";
import { openAs, pinOf } from "./client-lab.ts";

const lab = openLab();
const trust = trustOver(systemClock);

test.each(GENERATIONS)("Incus %s: a token makes the agent trusted, once", async (generation) => {
  const { signal } = new AbortController();
  const daemon = lab.incus[generation].target;
  const [client, other] = [makeCertificate(), makeCertificate()];
  const identity = { certificate: client.certificate, key: new Secret(client.key) };
  const stranger = { certificate: other.certificate, key: new Secret(other.key) };
  const token = new Secret(await makeToken(daemon, { name: "redeemed", projects: ["default"] }));

  const peeked = await trust.peek(daemon.url, signal);
  expect(peeked.fingerprint).toBe(trust.fingerprint(pinOf(daemon)));
  const { url, certificate: pin } = { url: daemon.url, certificate: peeked.certificate };
  expect(await trust.isTrusted(url, pin, identity, signal)).toBe(false);
  await trust.redeem(url, pin, identity, token, signal);
  expect(await trust.isTrusted(url, pin, identity, signal)).toBe(true);
  await trust.redeem(url, pin, identity, token, signal);
  expect(await openAs(daemon, client).facts(signal)).toMatchObject({ restricted: true });
  await expect(trust.redeem(url, pin, stranger, token, signal)).rejects.toMatchObject({
    code: "trust.token",
    message: expect.stringContaining("does not know the token"),
  });
  await removeTrust(daemon, client.certificate);
  expect(await trust.isTrusted(url, pin, identity, signal)).toBe(false);
});

const bad = [
  { name: "garbled", token: "nonsense", says: "the token is none, or not whole" },
  { name: "empty", token: "", says: "the token is none, or not whole" },
  { name: "incomplete", token: Buffer.from('{"client_name":"x"}').toString("base64"), says: "none, or not whole" },
];
const badCases = GENERATIONS.flatMap((generation) => bad.map((each) => ({ generation, ...each })));

test.each(badCases)("Incus $generation: a $name token is refused", async ({ generation, token, says }) => {
  const { signal } = new AbortController();
  const daemon = lab.incus[generation].target;
  const client = makeCertificate();
  const identity = { certificate: client.certificate, key: new Secret(client.key) };
  const redeemed = trust.redeem(daemon.url, pinOf(daemon), identity, new Secret(token), signal);
  await expect(redeemed).rejects.toMatchObject({ code: "trust.token", message: expect.stringContaining(says) });
});

test.each(GENERATIONS)("Incus %s: an expired token is refused as that", async (generation) => {
  const { signal } = new AbortController();
  const daemon = lab.incus[generation].target;
  const client = makeCertificate();
  const identity = { certificate: client.certificate, key: new Secret(client.key) };
  await call(daemon, "PATCH", "/1.0", { config: { "core.remote_token_expiry": "1S" } });
  try {
    const token = await makeToken(daemon, { name: "expired" });
    const { expires_at } = JSON.parse(Buffer.from(token, "base64").toString());
    await expect.poll(() => Date.now(), { timeout: 5000 }).toBeGreaterThan(Date.parse(expires_at));
    const redeemed = trust.redeem(daemon.url, pinOf(daemon), identity, new Secret(token), signal);
    await expect(redeemed).rejects.toMatchObject({ code: "trust.token", message: expect.stringContaining("expired") });
  } finally {
    await call(daemon, "PATCH", "/1.0", { config: { "core.remote_token_expiry": "" } });
  }
});

test.each(GENERATIONS)("Incus %s: a client certificate that has expired is told as that", async (generation) => {
  const { signal } = new AbortController();
  const daemon = lab.incus[generation].target;
  const client = makeCertificate({ expired: true });
  const identity = { certificate: client.certificate, key: new Secret(client.key) };
  const token = new Secret(await makeToken(daemon, { name: "late" }));
  await expect(trust.redeem(daemon.url, pinOf(daemon), identity, token, signal)).rejects.toMatchObject({
    code: "trust.token",
    message: expect.stringContaining("it finds the agent's certificate expired, or not valid yet"),
    hint: expect.stringContaining("clocks"),
  });
});
