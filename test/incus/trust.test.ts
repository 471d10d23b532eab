import { expect, onTestFinished, test } from "vitest";
import { trustOver } from "../../src/incus/trust.ts";
import { Secret } from "../../src/model/secret.ts";
import { startFakeIncus } from "../fakes/incus/start-fake-incus.ts";
import { clientCertificate, quickClock, refuse, serve } from "./local-server.ts";

const trust = trustOver(quickClock());
const identity = { certificate: clientCertificate.certificate, key: new Secret(clientCertificate.key) };

test.each(["6.0", "7.0"] as const)(
  "a token makes the agent trusted by %s, and a second one changes nothing",
  async (generation) => {
    const { signal } = new AbortController();
    const fake = await startFakeIncus({ generation });
    onTestFinished(() => fake.close());
    const { certificate: pin, fingerprint } = await trust.peek(fake.url, signal);
    expect(fingerprint).toBe(fake.fingerprint);
    expect(trust.fingerprint(pin)).toBe(fingerprint);
    expect(await trust.isTrusted(fake.url, pin, identity, signal)).toBe(false);
    await trust.redeem(fake.url, pin, identity, new Secret(fake.addToken()), signal);
    expect(await trust.isTrusted(fake.url, pin, identity, signal)).toBe(true);
    await trust.redeem(fake.url, pin, identity, new Secret(fake.addToken()), signal);
  },
);

const refusals = [
  { says: "not authorized", status: 403, why: "the token is none, or not whole" },
  { says: "No matching certificate add operation found", status: 403, why: "it does not know the token" },
  {
    says: "Failed during search for certificate add token operation: Token has expired",
    status: 500,
    why: "has expired",
  },
  {
    says: "The provided certificate is expired",
    status: 400,
    why: "the agent's certificate expired, or not valid yet",
  },
  {
    says: "The provided certificate isn't valid yet",
    status: 400,
    why: "the agent's certificate expired, or not valid yet",
  },
  { says: "No client certificate provided", status: 400, why: "it was shown no client certificate" },
  { says: "RSA key is too weak (minimum of 2048bit)", status: 400, why: "RSA key is too weak (minimum of 2048bit)" },
];

test.each(refusals)("redeem() says what to do when the server says '$says'", async ({ says, status, why }) => {
  const { signal } = new AbortController();
  const server = await serve(({ response }) => refuse(response, status, says));
  const token = new Secret("c29tZXRva2Vu");
  const redeemed = trust.redeem(server.url, server.certificate.certificate, identity, token, signal);
  const error = await redeemed.catch((thrown) => thrown);
  expect(error).toMatchObject({ code: "trust.token", message: expect.stringContaining(why), hint: expect.any(String) });
  expect(JSON.stringify([error.message, error.hint, error.cause?.message, error.stack])).not.toContain("c29tZXRva2Vu");
});

test("redeem() leaves other refusals as they are", async ({ signal }) => {
  const server = await serve(({ response }) => response.writeHead(502, { "content-type": "text/html" }).end("<html>"));
  const redeemed = trust.redeem(server.url, server.certificate.certificate, identity, new Secret("x"), signal);
  await expect(redeemed).rejects.toMatchObject({ code: "incus.bad-reply" });
});
