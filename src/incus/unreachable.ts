import { AgentError } from "../model/errors.ts";
import { DeadlineError } from "./deadline.ts";
import type { Address } from "./tls.ts";

type Advice = { readonly why: string; readonly hint: string };

const REFUSED = {
  why: "nothing listens there",
  hint: "Check the port of the URL, and that `incus config get core.https_address` on the server names it",
};
const UNKNOWN_NAME = {
  why: "its name cannot be resolved",
  hint: "Check the host name of the URL, and this machine's DNS",
};
const NO_ROUTE = { why: "there is no route to it", hint: "Check the address of the URL, and this machine's network" };
const SILENT = { why: "it does not answer", hint: "Check the address of the URL, and the firewalls in between" };
const CLOSED = { why: "it closed the connection", hint: "Check that Incus itself is behind this address, and its log" };
const NO_TLS = {
  why: "it does not speak TLS there",
  hint: "This is a plain http port, or none of Incus: the port is in `incus config get core.https_address`",
};
const OLD_TLS = {
  why: "it does not speak TLS 1.3",
  hint: "Something else than Incus, or a proxy, is behind this address",
};

const BY_CODE: Readonly<Record<string, Advice>> = {
  ECONNREFUSED: REFUSED,
  ENOTFOUND: UNKNOWN_NAME,
  EAI_AGAIN: UNKNOWN_NAME,
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  ETIMEDOUT: SILENT,
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  UND_ERR_SOCKET: CLOSED,
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
  ERR_SSL_HTTP_REQUEST: NO_TLS,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: OLD_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: OLD_TLS,
};

/** Where trying again may help: a server that restarts, a network that hiccups. */
const TRANSIENT = new Set(["ECONNREFUSED", "ECONNRESET", "EPIPE", "EAI_AGAIN", "UND_ERR_SOCKET"]);

/** A request, or its answer, that was lost on the way. */
export class LostRequest extends AgentError {
  override readonly name = "LostRequest";
  /** Whether it may have been carried out all the same. */
  readonly sent: boolean;
  /** Whether trying again may help. */
  readonly transient: boolean;

  constructor(code: "incus.unreachable" | "incus.bad-reply", sent: boolean, message: string, more: Extra) {
    super(code, message, more);
    this.sent = sent;
    this.transient = isTransient(more.cause);
  }
}

type Extra = { readonly cause: unknown; readonly hint?: string };

/** Why no connection to a server came about, and what to do about it. */
export function unreachable(address: Address, cause: unknown): LostRequest {
  return lost(cause, false, `Cannot connect to ${address.host} (${address.url.origin})`);
}

/** Why a request that may have been sent got no answer. */
export function unanswered(address: Address, doing: string, cause: unknown): LostRequest {
  return lost(cause, true, `Cannot ${doing} on ${address.host} (${address.url.origin})`);
}

/** The code that Node, OpenSSL or undici gave an error. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** Whether the reason may be gone in a moment. */
export function isTransient(cause: unknown): boolean {
  return TRANSIENT.has(errorCode(cause));
}

function lost(cause: unknown, sent: boolean, what: string): LostRequest {
  const advice = adviceFor(cause);
  const why = advice?.why ?? (cause instanceof Error ? cause.message : String(cause));
  return new LostRequest("incus.unreachable", sent, `${what}: ${why}`, {
    cause,
    ...(advice === undefined ? {} : { hint: advice.hint }),
  });
}

function adviceFor(cause: unknown): Advice | undefined {
  if (cause instanceof DeadlineError) return { ...SILENT, why: cause.message };
  // OpenSSL's errors come as EPROTO from some versions of Node, with what they are in the text.
  if (errorCode(cause) === "EPROTO" && /wrong version number|packet length too long/i.test(String(cause)))
    return NO_TLS;
  return BY_CODE[errorCode(cause)];
}
