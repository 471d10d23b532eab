import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { createArguments, type Owner, ownerText } from "./arguments.ts";
import type { Client } from "./client.ts";
import { tokenText } from "./config-file.ts";
import { parseOutput, Status } from "./output.ts";
import type { KopiaStorage } from "./storage.ts";

/** How often, and how long apart, a repository is looked for that somebody else seems to be making right now. */
const LOOKS = 5;
const LOOK_AGAIN_MS = 2000;

/** Two hosts that make one repository at the same moment spoil it, and nothing in Kopia prevents it: each has its turn. */
const TURNS = 16;
const TURN_MS = 4000;

type Wanted = { readonly storage: KopiaStorage; readonly owner: Owner; readonly create: boolean };

/**
 * Sees that the repository is there and opens. One is made only where the storage says that it holds none, and only if
 * that is allowed: a slip in the name of a bucket is not to become a new repository.
 */
export async function openRepository(client: Client, clock: Clock, wanted: Wanted, signal: AbortSignal): Promise<void> {
  const missing = await lookFor(client, signal);
  if (missing === undefined) return;
  if (!wanted.create) throw missing;
  await clock.sleep(turnMs(wanted.owner), signal);
  if ((await lookFor(client, signal)) === undefined) return;
  try {
    await create(client, wanted, signal);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "kopia.foreign") throw error;
    // What was found there may be the beginning of another host's repository.
    await awaitOther(client, clock, error, signal);
    return;
  }
  const still = await lookFor(client, signal);
  if (still !== undefined) throw still;
}

/** How long a host waits before it makes a repository: the same each time, and another for most other hosts. */
export function turnMs(owner: Owner): number {
  let sum = 0;
  for (const letter of ownerText(owner)) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 1_000_003;
  return (sum % TURNS) * TURN_MS;
}

async function create(client: Client, { storage, owner }: Wanted, signal: AbortSignal): Promise<void> {
  const input = `${tokenText(storage)}\n`;
  await client.run({ args: createArguments(owner), input, doing: "make the repository" }, signal);
}

async function awaitOther(client: Client, clock: Clock, foreign: AgentError, signal: AbortSignal): Promise<void> {
  for (let look = 0; look < LOOKS; look++) {
    await clock.sleep(LOOK_AGAIN_MS, signal);
    if ((await lookFor(client, signal)) === undefined) return;
  }
  throw foreign;
}

/** Undefined where the repository opens; the error where there is none. Whatever else is wrong is thrown. */
async function lookFor(client: Client, signal: AbortSignal): Promise<AgentError | undefined> {
  const doing = "open the repository";
  try {
    const printed = await client.run({ args: ["repository", "status", "--json"], doing }, signal);
    parseOutput(Status, printed, doing);
    return undefined;
  } catch (error) {
    if (error instanceof AgentError && error.code === "kopia.empty") return error;
    throw error;
  }
}
