import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import forge from "node-forge";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { call } from "./daemon-api.ts";
import { GENERATIONS, type LabDaemon, openLab } from "./lab.ts";
import { makeToken, removeTrust, trustCertificate } from "./trust.ts";

const Token = z.object({ client_name: z.string(), addresses: z.array(z.string()), secret: z.string() });

describe.each(GENERATIONS)("Incus %s", (generation) => {
  const { source } = openLab().incus[generation];

  test.each([
    { rights: { name: "all" }, restricted: false, projects: [] },
    { rights: { name: "some", projects: ["default"] }, restricted: true, projects: ["default"] },
  ])("makeToken() gives $rights the rights it names, once", async ({ rights, restricted, projects }) => {
    const client = makeClient();
    const token = await makeToken(source, rights);
    const decoded = Token.parse(JSON.parse(Buffer.from(token, "base64").toString("utf8")));
    expect(decoded).toMatchObject({ client_name: rights.name, addresses: [new URL(source.url).host] });
    expect(await redeem(source, client, token)).toBe(201);
    expect(await call(source, "GET", "/1.0/certificates?recursion=1")).toContainEqual(
      expect.objectContaining({ name: rights.name, restricted, projects }),
    );
    await removeTrust(source, client.cert);
    expect(await redeem(source, makeClient(), token)).toBe(403);
  });

  test("trustCertificate() trusts a client until removeTrust()", async () => {
    const client = makeClient();
    await trustCertificate(source, client.cert, { name: "direct", projects: ["default"] });
    expect(await ask(source, client, "GET", "/1.0/instances")).toBe(200);
    await removeTrust(source, client.cert);
    expect(await ask(source, client, "GET", "/1.0/instances")).toBe(403);
  });
});

type Client = { key: string; cert: string };

function makeClient(): Client {
  const keys = forge.pki.rsa.generateKeyPair(2048);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  certificate.serialNumber = `01${randomUUID().replaceAll("-", "")}`;
  certificate.validity.notAfter.setFullYear(certificate.validity.notBefore.getFullYear() + 1);
  certificate.setSubject([{ name: "commonName", value: "lab" }]);
  certificate.setIssuer([{ name: "commonName", value: "lab" }]);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return { key: forge.pki.privateKeyToPem(keys.privateKey), cert: forge.pki.certificateToPem(certificate) };
}

function redeem(daemon: LabDaemon, client: Client, token: string): Promise<number> {
  return ask(daemon, client, "POST", "/1.0/certificates", JSON.stringify({ type: "client", trust_token: token }));
}

function ask(daemon: LabDaemon, client: Client, method: string, path: string, body = ""): Promise<number> {
  const tls = { ...client, ca: readFileSync(daemon.certificate), checkServerIdentity: () => undefined, agent: false };
  return new Promise((resolve, reject) => {
    const sent = request(`${daemon.url}${path}`, { method, ...tls } as const, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}
