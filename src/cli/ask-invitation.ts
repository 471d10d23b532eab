import { AgentError } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import type { World } from "../model/ports.ts";
import type { Invitation } from "../onboard/onboard-server.ts";
import { serverUrl } from "../onboard/server-url.ts";
import { checkNotExpired, parseTrustToken } from "../onboard/trust-token.ts";

/** What a person reads before the first question. */
export const INTRODUCTION = `Two Incus servers are to trust this agent. Make a token on each of them:

  on the source server:  incus config trust add iab
  on the target server:  incus config trust add iab

To confine the agent to some projects, add to both: --restricted --projects default,web
A token works once. What you type or paste as a token is not shown.
`;

/** Asks whoever sits at the terminal for what the command line does not say of a server, until it can be used. */
export async function askInvitation(given: Invitation, world: World): Promise<Invitation> {
  const { side } = given;
  const token = given.token ?? (await askToken(side, world));
  if (given.url !== undefined) return { side, url: given.url, token };
  return { side, token, url: await askUrl(side, token, world) };
}

async function askToken(side: Side, { terminal, clock, signal }: World): Promise<string | undefined> {
  const question = `Token of the ${side} server (empty if it trusts this agent already): `;
  for (;;) {
    const typed = (await terminal.ask(question, { hidden: true }, signal)).trim();
    if (typed === "") return undefined;
    const problem = problemOf(() => checkNotExpired(parseTrustToken(typed, side), side, clock.now()));
    if (problem === undefined) return typed;
    terminal.tell(problem);
  }
}

async function askUrl(side: Side, token: string | undefined, world: World): Promise<string | undefined> {
  const { terminal, signal } = world;
  const known = token === undefined ? [] : parseTrustToken(token, side).addresses;
  const otherwise = known.length === 0 ? "" : ` (empty: ${known.join(", ")}, whichever answers)`;
  for (;;) {
    const typed = (await terminal.ask(`Address of the ${side} server${otherwise}: `, { hidden: false }, signal)).trim();
    if (typed === "" && known.length > 0) return undefined;
    const problem = problemOf(() => serverUrl(typed, side));
    if (problem === undefined) return typed;
    terminal.tell(problem);
  }
}

/** What a person should read of an answer that cannot be used; undefined if it can. */
function problemOf(use: () => unknown): string | undefined {
  try {
    use();
    return undefined;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return error.hint === undefined ? error.message : `${error.message}\n  ${error.hint}`;
  }
}
