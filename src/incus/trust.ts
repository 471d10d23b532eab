import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import type { Secret } from "../model/secret.ts";
import type { ClientIdentity, Trust } from "../model/trust-ports.ts";
import { type Connection, openConnection } from "./connection.ts";
import { isTrusted } from "./facts.ts";
import { fingerprintOf, peekCertificate } from "./tls.ts";

/** How the agent and a server come to trust each other. */
export function trustOver(clock: Clock): Trust {
  return {
    async peek(url, signal) {
      const peeked = await peekCertificate(addressOf(url), signal);
      return { certificate: peeked.pem, fingerprint: peeked.fingerprint };
    },
    fingerprint: (certificate) => fingerprintOf(certificate, "the server"),
    isTrusted: (url, pin, identity, signal) =>
      during({ url, pin, identity, clock }, (connection) => isTrusted(connection, signal)),
    redeem: (url, pin, identity, token, signal) =>
      during({ url, pin, identity, clock }, (connection) => redeemToken(connection, token, signal)),
  };
}

/** Hands a trust token in. The certificate that it makes trusted is the one of the connection. */
async function redeemToken(connection: Connection, token: Secret, signal: AbortSignal): Promise<void> {
  const body = { type: "client", trust_token: token.reveal() };
  try {
    await connection.request({ method: "POST", path: "/1.0/certificates", body }, signal);
  } catch (error) {
    if (!(error instanceof IncusRefusal)) throw error;
    if (/already trusted/i.test(error.reason)) return;
    throw tokenRefusal(connection.host, error);
  }
}

type Cause = { readonly says: RegExp; readonly why: string; readonly hint: string };

const FRESH = "Make a fresh one on that server with `incus config trust add iab`";
const CAUSES: readonly Cause[] = [
  { says: /token has expired/i, why: "the token has expired", hint: FRESH },
  {
    says: /no matching certificate add operation/i,
    why: "it does not know the token, or no longer",
    hint: `A token works once, on the server that made it, until that is started anew. ${FRESH}`,
  },
  {
    says: /(not valid yet|isn't valid yet|expired)/i,
    why: "it finds the agent's certificate expired, or not valid yet",
    hint: "Compare the clocks of both machines",
  },
  {
    says: /no client certificate/i,
    why: "it was shown no client certificate",
    hint: "Something in between ends the TLS connection, as a proxy does; use the server's own address",
  },
];

function tokenRefusal(host: string, refusal: IncusRefusal): AgentError {
  const known = CAUSES.find(({ says }) => says.test(refusal.reason));
  const why = known?.why ?? (refusal.status === 403 ? "the token is none, or not whole" : refusal.reason);
  return new AgentError("trust.token", `${host} does not accept the trust token: ${why}`, {
    cause: refusal,
    hint: known?.hint ?? FRESH,
  });
}

type Visit = { readonly url: string; readonly pin: string; readonly identity: ClientIdentity; readonly clock: Clock };

/** A connection for a word or two. Before there is a configuration, a server's name is its address. */
async function during<T>({ url, pin, identity, clock }: Visit, say: (to: Connection) => Promise<T>): Promise<T> {
  const { host } = addressOf(url);
  const connection = openConnection({ host, url, credentials: { ...identity, pin }, clock });
  try {
    return await say(connection);
  } finally {
    await connection.close();
  }
}

function addressOf(url: string) {
  const parsed = new URL(url);
  return { host: parsed.host, url: parsed };
}
