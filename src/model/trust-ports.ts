import type { Secret } from "./secret.ts";

/** The agent's own identity: its certificate and the key to it. */
export type ClientIdentity = { readonly certificate: string; readonly key: Secret };

/** How trust between the agent and a server is made and seen, before there is a configuration. */
export type Trust = {
  /** The certificate that the server shows to anyone. Nothing of HTTP is sent. */
  peek(url: string, signal: AbortSignal): Promise<{ readonly certificate: string; readonly fingerprint: string }>;
  /** SHA-256 of a PEM certificate, in lower-case hex. */
  fingerprint(certificate: string): string;
  /** Whether the server with the pinned certificate trusts the agent's. */
  isTrusted(url: string, pin: string, identity: ClientIdentity, signal: AbortSignal): Promise<boolean>;
  /** Hands the token in; a server that trusts the agent already is content. */
  redeem(url: string, pin: string, identity: ClientIdentity, token: Secret, signal: AbortSignal): Promise<void>;
};

/** Makes an RSA key pair, both halves as PEM. */
export type KeyPairs = { generate(): Promise<{ readonly publicKey: string; readonly privateKey: Secret }> };
