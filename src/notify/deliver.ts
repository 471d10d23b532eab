import type { Clock } from "../model/ports.ts";

/** One message to a notification service. */
export type Message = {
  readonly url: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** However slow a service is: a notice takes no longer than this, tries and pauses together. */
const AT_MOST_MS = 10_000;
const TRY_AT_MOST_MS = 4_000;
const PAUSES_MS = [500, 1_500];

/**
 * Delivers a message, trying again when the service is busy or out of reach. What went wrong in the end is thrown
 * without the address: it is what lets anyone speak in the agent's name.
 */
export async function deliver(message: Message, clock: Clock, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(AT_MOST_MS)]);
  let problem = "";
  for (const pauseMs of [0, ...PAUSES_MS]) {
    if (pauseMs > 0) await clock.sleep(pauseMs, deadline).catch(() => undefined);
    if (deadline.aborted) break;
    const answer = await attempt(message, deadline);
    if (answer.delivered) return;
    problem = answer.problem;
    if (!answer.worthAnotherTry) break;
  }
  signal.throwIfAborted();
  throw new Error(problem === "" ? `no answer within ${AT_MOST_MS} ms` : problem);
}

type Attempt =
  | { readonly delivered: true }
  | { readonly delivered: false; readonly problem: string; readonly worthAnotherTry: boolean };

async function attempt({ url, body, headers = {} }: Message, deadline: AbortSignal): Promise<Attempt> {
  try {
    // Loaded on demand: most runs have nobody to tell.
    const { request } = await import("undici");
    const signal = AbortSignal.any([deadline, AbortSignal.timeout(TRY_AT_MOST_MS)]);
    const answer = await request(url, { method: "POST", body, headers, signal });
    // Nothing in the answer is of use, but the connection is only free once it has been read.
    await answer.body.dump();
    const { statusCode } = answer;
    if (statusCode < 300) return { delivered: true };
    const worthAnotherTry = statusCode === 429 || statusCode >= 500;
    return { delivered: false, problem: `the service answered ${statusCode}`, worthAnotherTry };
  } catch (error) {
    return { delivered: false, problem: whatHappened(error), worthAnotherTry: true };
  }
}

/** The error's code, never its message, which may quote the address. */
function whatHappened(error: unknown): string {
  if (!(error instanceof Error)) return "the request failed";
  if (error.name === "TimeoutError" || error.name === "AbortError") return "the service did not answer in time";
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  return `the service could not be reached (${code})`;
}
