import { createHash, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { AgentError } from "../model/errors.ts";
import type { Secret } from "../model/secret.ts";
import { withDeadline } from "./deadline.ts";
import { unreachable } from "./unreachable.ts";

/** Who we are to a server, and who it has to be: its pin is the PEM of its certificate. */
export type Credentials = { readonly certificate: string; readonly key: Secret; readonly pin: string };

/** Where a server is: its name in the configuration, and its base address. */
export type Address = { readonly host: string; readonly url: URL };

/** A way to make connections to one server that only the pinned certificate can complete. */
export type Dial = (signal: AbortSignal) => Promise<TLSSocket>;

/** A server's certificate, seen and not yet trusted. */
export type PeekedCertificate = { readonly pem: string; readonly fingerprint: string };

const CONNECT_TIMEOUT_MS = 10_000;
/** A peer that vanished without a word is noticed, on connections that are silent for hours too. */
const PROBE_AFTER_MS = 30_000;

/**
 * Connections to the pinned server. The peer's certificate is compared before the socket is handed over, so that not
 * a byte of HTTP reaches another. Who issued it, until when it is valid and whom it names plays no part.
 */
export function pinnedDial(address: Address, credentials: Credentials, timeoutMs = CONNECT_TIMEOUT_MS): Dial {
  const pinned = fingerprintOf(credentials.pin, address.host);
  const context = contextOf(address.host, { cert: credentials.certificate, key: credentials.key.reveal() });
  return async (signal) => {
    const socket = await handshake(address, context, timeoutMs, signal);
    const seen = peerFingerprint(socket);
    if (seen === pinned) return socket;
    socket.destroy();
    throw mismatch(address, seen, pinned);
  };
}

/** The certificate that a server shows at first contact. It is told nothing: no request, and not who we are. */
export async function peekCertificate(address: Address, signal: AbortSignal): Promise<PeekedCertificate> {
  const socket = await handshake(address, contextOf(address.host, {}), CONNECT_TIMEOUT_MS, signal);
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  if (certificate === undefined) throw new AgentError("incus.bad-reply", `${address.host} showed no certificate`);
  return { pem: certificate.toString(), fingerprint: sha256(certificate.raw) };
}

/** The fingerprint of a certificate as Incus writes it: SHA-256 of the DER, in lower-case hex. */
export function fingerprintOf(pem: string, host: string): string {
  try {
    return sha256(new X509Certificate(pem).raw);
  } catch (cause) {
    throw new AgentError("credentials.unusable", `Cannot read the pinned certificate of ${host}`, { cause });
  }
}

/** How the certificate that was found differs from the one that has to be there. */
function mismatch(address: Address, seen: string, expected: string): AgentError {
  return new AgentError(
    "trust.mismatch",
    `Cannot trust ${address.host} (${address.url.origin}): its certificate has the fingerprint ${seen}, and ${expected} is expected`,
    {
      hint: `If its certificate was replaced on purpose, onboard again; if not, somebody is in between. On the server, \`incus info | grep certificate_fingerprint\` tells the true one`,
    },
  );
}

function contextOf(host: string, ours: { readonly cert?: string; readonly key?: string }): SecureContext {
  try {
    return createSecureContext({ ...ours, minVersion: "TLSv1.3" });
  } catch (cause) {
    // OpenSSL's own words may quote the key's file, never the key; they stay in the cause all the same.
    throw new AgentError("credentials.unusable", `Cannot use the client certificate and key for ${host}`, {
      cause,
      hint: "Both have to be PEM, and the key the certificate's own; onboard again to make new ones",
    });
  }
}

/** A TLS connection on which nothing has been said. No session is kept or resumed: each one is compared anew. */
async function handshake(
  address: Address,
  secureContext: SecureContext,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<TLSSocket> {
  if (address.url.protocol !== "https:") throw unreachable(address, new Error("the address does not begin with https"));
  const host = address.url.hostname.replace(/^\[|\]$/g, "");
  const socket = connect({
    host,
    port: Number(address.url.port || 443),
    secureContext,
    ALPNProtocols: ["http/1.1"],
    // The pin is the check. Node would not call checkServerIdentity here, so the caller compares by itself.
    rejectUnauthorized: false,
    ...(isIP(host) === 0 ? { servername: host } : {}),
  });
  socket.setKeepAlive(true, PROBE_AFTER_MS);
  try {
    return await withDeadline(timeoutMs, signal, () => connected(socket));
  } catch (cause) {
    socket.destroy();
    signal.throwIfAborted();
    throw unreachable(address, cause);
  }
}

function connected(socket: TLSSocket): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(new Error("the connection was closed during the handshake"));
    // Stays on: a socket that is destroyed later must not bring the process down.
    socket.on("error", reject);
    socket.once("close", onClose);
    socket.once("secureConnect", () => {
      socket.off("close", onClose);
      resolve(socket);
    });
  });
}

function peerFingerprint(socket: TLSSocket): string {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? "none" : sha256(certificate.raw);
}

function sha256(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}
