import type { Check, CheckState } from "../model/check.ts";
import { AgentError } from "../model/errors.ts";

/** What is looked at, and whose. */
export type About = Pick<Check, "check" | "subject">;

/** What was found. */
export type Finding = { readonly state: CheckState; readonly text: string; readonly remedy?: string };

export function ok(text: string): Finding {
  return { state: "ok", text };
}

export function warning(text: string, remedy: string): Finding {
  return { state: "warning", text, remedy };
}

export function failure(text: string, remedy: string): Finding {
  return { state: "failed", text, remedy };
}

export function checkOf(about: About, { state, text, remedy }: Finding): Check {
  return { ...about, state, text, remedy };
}

/** Looks at one thing. What stands in the way is what is wrong with it, and the next thing is looked at. */
export async function attempt(about: About, look: () => Promise<Finding>, signal: AbortSignal): Promise<Check> {
  try {
    return checkOf(about, await look());
  } catch (error) {
    signal.throwIfAborted();
    return checkOf(about, findingOf(error));
  }
}

/** An error that was foreseen, as a finding; what was not is a bug, and stays one. */
function findingOf(error: unknown): Finding {
  if (!(error instanceof AgentError)) throw error;
  return failure(error.message, error.hint ?? "See docs/configuration.md");
}
