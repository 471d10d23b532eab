import { X509Certificate } from "node:crypto";
import { z } from "zod";
import { begin, call } from "./daemon-api.ts";
import type { Daemon } from "./lab.ts";

const TokenOperation = z.object({
  metadata: z.object({
    fingerprint: z.string(),
    addresses: z.array(z.string()),
    secret: z.string(),
    expiresAt: z.string().default("0001-01-01T00:00:00Z"),
  }),
});

/** Rights of a new client: everything, or the named projects only. */
export type Rights = { readonly name: string; readonly projects?: readonly string[] };

/** A fresh trust token, as `incus config trust add` prints it. */
export async function makeToken(daemon: Daemon, rights: Rights): Promise<string> {
  const body = { type: "client", token: true, ...restricted(rights) };
  const { metadata } = TokenOperation.parse(await begin(daemon, "POST", "/1.0/certificates", body));
  const token = {
    client_name: rights.name,
    fingerprint: metadata.fingerprint,
    addresses: metadata.addresses,
    secret: metadata.secret,
    expires_at: metadata.expiresAt,
  };
  return Buffer.from(JSON.stringify(token)).toString("base64");
}

/** Trusts a client's certificate without a token. */
export async function trustCertificate(daemon: Daemon, pem: string, rights: Rights): Promise<void> {
  const certificate = new X509Certificate(pem).raw.toString("base64");
  await call(daemon, "POST", "/1.0/certificates", { type: "client", certificate, ...restricted(rights) });
}

function restricted({ name, projects }: Rights) {
  return { name, restricted: projects !== undefined, projects: projects ?? [] };
}

/** Takes a client's rights away. */
export async function removeTrust(daemon: Daemon, pem: string): Promise<void> {
  const fingerprint = new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
  await call(daemon, "DELETE", `/1.0/certificates/${fingerprint}`);
}
