import { randomBytes, X509Certificate } from "node:crypto";
import { z } from "zod";
import { fingerprintOf } from "./certificate.ts";
import type { Context, Host, Route } from "./host.ts";
import { param } from "./host.ts";
import { ZERO_DATE } from "./nanos.ts";
import type { Operation } from "./operations.ts";
import { created, NOT_AUTHORIZED, Refusal, type Reply, sync } from "./reply.ts";
import type { TrustRecord } from "./state.ts";
import { requireTrusted, requireUnrestricted } from "./trust.ts";

/** The trust store, and the tokens that open it. */
export const certificateRoutes: readonly Route[] = [
  { method: "GET", path: "/1.0/certificates", handle: listCertificates },
  { method: "POST", path: "/1.0/certificates", open: true, handle: addCertificate },
  { method: "GET", path: "/1.0/certificates/:fingerprint", handle: (context) => sync(json(certificateOf(context))) },
  { method: "DELETE", path: "/1.0/certificates/:fingerprint", handle: removeCertificate },
];

export type TokenOptions = {
  readonly name?: string;
  readonly restricted?: boolean;
  readonly projects?: readonly string[];
  /** RFC 3339; never without. */
  readonly expiresAt?: string;
};

const Request = z.object({
  type: z.string().optional(),
  name: z.string().default(""),
  certificate: z.string().default(""),
  trust_token: z.string().default(""),
  token: z.boolean().default(false),
  restricted: z.boolean().default(false),
  projects: z.array(z.string()).nullish(),
});

const Token = z.object({
  client_name: z.string().min(1),
  addresses: z.array(z.string()).min(1),
  secret: z.string().min(1),
  fingerprint: z.string().min(1),
});

/** Makes a token as `incus config trust add` does: it lives as an operation until it is used or cancelled. */
export function issueToken(host: Host, options: TokenOptions): { operation: Operation; token: string } {
  const { name = "client", restricted = false, projects = [], expiresAt = ZERO_DATE } = options;
  const addresses = [host.address()];
  const { fingerprint } = host.certificate();
  const secret = randomBytes(32).toString("hex");
  const request = { type: "client", name, restricted, projects, certificate: "", token: true, trust_token: "" };
  const operation = host.operations.start({
    class: "token",
    description: "Executing operation",
    project: "default",
    resources: {},
    metadata: { addresses, fingerprint, request, secret, expiresAt },
    onCancel: () => {},
  });
  const token = { client_name: name, fingerprint, addresses, secret, expires_at: expiresAt };
  pending.set(operation, { secret, record: { name, restricted, projects }, expiresAt });
  return { operation, token: Buffer.from(JSON.stringify(token)).toString("base64") };
}

type Pending = {
  readonly secret: string;
  readonly record: Pick<TrustRecord, "name" | "restricted" | "projects">;
  readonly expiresAt: string;
};

const pending = new WeakMap<Operation, Pending>();

function addCertificate(context: Context): Reply {
  const asked = context.json(Request);
  if (asked.token) {
    requireUnrestricted(context.caller);
    const { name, restricted } = asked;
    const { operation } = issueToken(context.host, { name, restricted, projects: asked.projects ?? [] });
    return { kind: "async", operation };
  }
  if (asked.trust_token === "") return addByTrusted(context, asked);
  return redeem(context, asked.trust_token);
}

function addByTrusted(context: Context, asked: z.infer<typeof Request>): Reply {
  if (!context.caller.trusted) throw new Refusal(403, NOT_AUTHORIZED);
  requireUnrestricted(context.caller);
  const { name, restricted } = asked;
  return store(context, pemOf(asked.certificate), { name, restricted, projects: asked.projects ?? [] });
}

function redeem(context: Context, text: string): Reply {
  const token = decode(text);
  const certificate = context.caller.certificate;
  if (token === undefined) throw new Refusal(403, NOT_AUTHORIZED);
  if (certificate === undefined) throw new Refusal(400, "No client certificate provided");
  if (context.caller.trusted) throw new Refusal(400, "Client is already trusted");
  const operation = context.host.operations
    .list()
    .find((candidate) => candidate.status === "Running" && pending.get(candidate)?.secret === token.secret);
  const found = operation === undefined ? undefined : pending.get(operation);
  if (operation === undefined || found === undefined) {
    throw new Refusal(403, "No matching certificate add operation found");
  }
  operation.cancel();
  if (found.expiresAt !== ZERO_DATE && Date.parse(found.expiresAt) < Date.now()) {
    throw new Refusal(500, "Failed during search for certificate add token operation: Token has expired");
  }
  refuseBadDates(new X509Certificate(certificate));
  return store(context, certificate, found.record);
}

function refuseBadDates({ validFrom, validTo }: X509Certificate): void {
  if (Date.parse(validFrom) > Date.now()) throw new Refusal(400, "The provided certificate isn't valid yet");
  if (Date.parse(validTo) < Date.now()) throw new Refusal(400, "The provided certificate is expired");
}

function decode(text: string): z.infer<typeof Token> | undefined {
  try {
    return Token.safeParse(JSON.parse(Buffer.from(text, "base64").toString("utf8"))).data;
  } catch {
    return undefined;
  }
}

function store(context: Context, certificate: string, record: Pending["record"]): Reply {
  const fingerprint = fingerprintOf(certificate);
  context.host.state.certificates.set(fingerprint, { ...record, certificate, fingerprint });
  return created(`/1.0/certificates/${fingerprint}`);
}

/** Bodies carry certificates as bare base64 as well as PEM. */
function pemOf(text: string): string {
  try {
    return new X509Certificate(text.includes("BEGIN") ? text : Buffer.from(text, "base64")).toString();
  } catch {
    throw new Refusal(400, "Invalid certificate material");
  }
}

function listCertificates(context: Context): Reply {
  const all = [...context.host.state.certificates.values()];
  const isDeep = (context.query.get("recursion") ?? "0") !== "0";
  return sync(isDeep ? all.map(json) : all.map(({ fingerprint }) => `/1.0/certificates/${fingerprint}`));
}

function certificateOf(context: Context): TrustRecord {
  const found = context.host.state.certificates.get(param(context, "fingerprint"));
  if (found === undefined) throw new Refusal(404, "Certificate not found");
  return found;
}

function removeCertificate(context: Context): Reply {
  requireTrusted(context.caller);
  const { fingerprint } = certificateOf(context);
  if (fingerprint !== context.caller.fingerprint) requireUnrestricted(context.caller);
  context.host.state.certificates.delete(fingerprint);
  return sync({});
}

function json({ name, certificate, fingerprint, restricted, projects }: TrustRecord): object {
  return { name, type: "client", restricted, projects, certificate, description: "", fingerprint };
}
