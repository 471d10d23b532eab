import { AgentError } from "../model/errors.ts";

/** Does one after the other whatever becomes of each; throws at the end what went wrong. */
export async function doAll<T>(tasks: readonly (() => Promise<readonly T[]>)[]): Promise<readonly T[]> {
  const results: T[] = [];
  const failures: unknown[] = [];
  for (const task of tasks) {
    try {
      results.push(...(await task()));
    } catch (cause) {
      failures.push(cause);
    }
  }
  if (failures.length === 0) return results;
  const foreseen = failures.filter((failure) => failure instanceof AgentError);
  // What nobody foresaw counts for more: it is a bug, or a signal that ends the work.
  if (foreseen.length < failures.length) throw failures.find((failure) => !(failure instanceof AgentError));
  const hints = [...new Set(foreseen.flatMap(({ hint }) => hint ?? []))];
  throw new AgentError("storage.left", foreseen.map(({ message }) => message).join("\n"), {
    ...(hints.length === 0 ? {} : { hint: hints.join("; ") }),
    cause: foreseen[0],
  });
}
