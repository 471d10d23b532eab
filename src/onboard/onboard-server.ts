import { AgentError } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import type { Files } from "../model/ports.ts";
import type { EpochMs } from "../model/time.ts";
import type { ClientIdentity, KeyPairs, Trust } from "../model/trust-ports.ts";
import { clientCertificate } from "./client-certificate.ts";
import { pinPath, readIdentity, readPin, writeIdentity } from "./credentials.ts";
import { serverUrl } from "./server-url.ts";
import { checkNotExpired, parseTrustToken, TOKEN_COMMAND, type TrustToken } from "./trust-token.ts";

/** What onboarding needs of the world. */
export type OnboardWorld = {
  readonly trust: Trust;
  readonly files: Files;
  readonly keyPairs: KeyPairs;
  readonly now: EpochMs;
  /** Hex digits that no other certificate has. */
  readonly serial: string;
};

export type Invitation = {
  readonly side: Side;
  /** As typed; undefined to try the addresses in the token. */
  readonly url: string | undefined;
  /** As typed; undefined where the server is expected to trust the agent already. */
  readonly token: string | undefined;
};

/** A server that trusts the agent and whose certificate is pinned. */
export type Onboarded = {
  readonly side: Side;
  readonly url: string;
  readonly identity: ClientIdentity;
  readonly pin: string;
  /** It trusted the agent before; a token was not used. */
  readonly alreadyTrusted: boolean;
};

/** Makes one server trust the agent, and pins its certificate once that trust has been seen to hold. */
export async function onboardServer(
  { side, url, token }: Invitation,
  folder: string,
  world: OnboardWorld,
  signal: AbortSignal,
): Promise<Onboarded> {
  const parsed = token === undefined ? undefined : parseTrustToken(token, side);
  const existing = await readIdentity(folder, world.files, signal);
  // Only an agent that has been here before may be trusted already, and then a token need not be good any more.
  if (parsed !== undefined && existing === undefined) checkNotExpired(parsed, side, world.now);
  const server = await findServer({ side, url, token: parsed }, folder, world, signal);
  const identity = existing ?? (await makeIdentity(folder, world));
  const alreadyTrusted = await world.trust.isTrusted(server.url, server.pin, identity, signal);
  if (!alreadyTrusted) await introduce({ side, server, identity, token: parsed }, world, signal);
  await world.files.writePrivate(pinPath(folder, server.url), server.pin);
  return { side, ...server, identity, alreadyTrusted };
}

type Found = { readonly url: string; readonly pin: string };
type Search = { readonly side: Side; readonly url: string | undefined; readonly token: TrustToken | undefined };

/** The server's address and certificate. The certificate counts only if the token, or an earlier pin, vouches for it. */
async function findServer(search: Search, folder: string, world: OnboardWorld, signal: AbortSignal): Promise<Found> {
  const { side, token } = search;
  const urls = search.url === undefined ? (token?.addresses ?? []).map(httpsOf) : [serverUrl(search.url, side)];
  if (urls.length === 0) {
    throw new AgentError("usage", `Cannot onboard the ${side} server: neither its address nor a token is given`, {
      hint: `Give --${side}URL and --${side}Token`,
    });
  }
  let lastProblem: unknown;
  for (const url of urls) {
    try {
      const shown = await world.trust.peek(url, signal);
      const expected = token?.fingerprint ?? (await pinnedFingerprint(side, url, folder, world, signal));
      if (shown.fingerprint === expected) return { url, pin: shown.certificate };
      lastProblem = mismatch(side, url, shown.fingerprint, expected);
    } catch (problem) {
      signal.throwIfAborted();
      lastProblem = problem;
    }
  }
  throw lastProblem;
}

function httpsOf(address: string): string {
  return `https://${address}`;
}

/** Without a token, what was pinned before must vouch for the server. */
async function pinnedFingerprint(
  side: Side,
  url: string,
  folder: string,
  { files, trust }: OnboardWorld,
  signal: AbortSignal,
): Promise<string> {
  const pin = await readPin(folder, url, files, signal);
  if (pin !== undefined) return trust.fingerprint(pin);
  throw new AgentError("usage", `Cannot onboard the ${side} server at ${url}: no token is given`, {
    hint: `Make one there with \`${TOKEN_COMMAND}\` and give it as --${side}Token`,
  });
}

/** A new identity of the agent. It is on disk before a token is spent on it: a key lost is a token lost. */
async function makeIdentity(folder: string, world: OnboardWorld): Promise<ClientIdentity> {
  const { publicKey, privateKey } = await world.keyPairs.generate();
  const keys = { publicKey, privateKey: privateKey.reveal() };
  const identity = { certificate: clientCertificate(keys, world.now, world.serial), key: privateKey };
  await writeIdentity(folder, identity, world.files);
  return identity;
}

type Introduction = {
  readonly side: Side;
  readonly server: Found;
  readonly identity: ClientIdentity;
  readonly token: TrustToken | undefined;
};

async function introduce(
  { side, server, identity, token }: Introduction,
  { trust, now }: OnboardWorld,
  signal: AbortSignal,
): Promise<void> {
  if (token === undefined) {
    throw new AgentError("trust.token", `The ${side} server at ${server.url} does not trust the agent's certificate`, {
      hint: `Make a token there with \`${TOKEN_COMMAND}\` and give it as --${side}Token`,
    });
  }
  checkNotExpired(token, side, now);
  await trust.redeem(server.url, server.pin, identity, token.whole, signal);
  if (await trust.isTrusted(server.url, server.pin, identity, signal)) return;
  throw new AgentError(
    "trust.token",
    `The ${side} server at ${server.url} took the token and still does not trust the agent`,
    {
      hint: "Check that this machine's clock and the server's agree, and look at `incus config trust list` there",
    },
  );
}

function mismatch(side: Side, url: string, shown: string, expected: string): AgentError {
  return new AgentError(
    "trust.mismatch",
    `The ${side} server at ${url} is not the one that was expected: it shows ${shown}, expected is ${expected}`,
    { hint: "Nothing was sent to it. Check the address, that the token is from this server, and who is in between" },
  );
}
