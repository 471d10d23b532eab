import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import { Secret } from "../model/secret.ts";
import { type EpochMs, rfc3339 } from "../model/time.ts";

/** What `incus config trust add` printed, decoded. */
export type TrustToken = {
  readonly clientName: string;
  /** SHA-256 of the server's certificate, in lower-case hex. */
  readonly fingerprint: string;
  /** `host:port`, each of which may reach the server. */
  readonly addresses: readonly string[];
  readonly expiresAt: EpochMs | undefined;
  /** The token as it was given: what the server wants to see. */
  readonly whole: Secret;
};

const Content = z.object({
  client_name: z.string().min(1),
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/i),
  addresses: z.array(z.string().min(1)).min(1),
  secret: z.string().min(1),
  expires_at: z.string().optional(),
});

/** Decodes a trust token of a server that is called `who`. What is wrong is said without showing the token. */
export function parseTrustToken(text: string, who: string): TrustToken {
  const whole = text.trim();
  if (whole === "") throw bad(who, "it is empty");
  if (!/^[A-Za-z0-9+/]+=*$/.test(whole)) throw bad(who, "it has characters that no token has; was it cut or wrapped?");
  const read = Content.safeParse(decode(whole, who));
  if (!read.success) {
    const field = read.error.issues[0]?.path.join(".") || "its content";
    throw bad(who, `${field} is missing or not as it should be`);
  }
  const expiresAt = moment(read.data.expires_at);
  const { client_name: clientName, fingerprint, addresses } = read.data;
  return { clientName, fingerprint: fingerprint.toLowerCase(), addresses, expiresAt, whole: new Secret(whole) };
}

/** Refuses a token whose time is over. No server takes it any more, but its fingerprint still tells who made it. */
export function checkNotExpired({ expiresAt }: TrustToken, who: string, now: EpochMs): void {
  if (expiresAt === undefined || expiresAt > now) return;
  throw new AgentError("usage", `Cannot use the token for the ${who} server: it expired at ${rfc3339(expiresAt)}`, {
    hint: `Make a new one there: ${TOKEN_COMMAND}. If it should still be good, check this machine's clock`,
  });
}

/** What a person types on the server for a token. */
export const TOKEN_COMMAND = "incus config trust add iab";

function decode(whole: string, who: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(atob(whole), charCode)));
  } catch (cause) {
    // The cause is left out: it quotes the token's content.
    void cause;
    throw bad(who, "it does not decode; was it cut?");
  }
}

function charCode(character: string): number {
  return character.charCodeAt(0);
}

/** Go's zero time stands for "never". */
function moment(text: string | undefined): EpochMs | undefined {
  const at = Date.parse(text ?? "");
  return Number.isNaN(at) || at <= 0 ? undefined : at;
}

function bad(who: string, why: string): AgentError {
  return new AgentError("usage", `Cannot read the token for the ${who} server: ${why}`, {
    hint: `Copy the whole line that this command prints there: ${TOKEN_COMMAND}`,
  });
}
