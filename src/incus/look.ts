import { IncusRefusal } from "../model/errors.ts";
import { badReply, Operation, readMetadata, withoutSecrets } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { LostRequest } from "./unreachable.ts";

/** What one look at an operation shows. */
export type Look =
  | { readonly state: "running"; readonly operation: Operation | undefined }
  | { readonly state: "success"; readonly operation: Operation }
  | { readonly state: "failure"; readonly reason: string; readonly cancelled: boolean }
  /** It ended some seconds ago, or the server was started anew. */
  | { readonly state: "forgotten" }
  /** The server could not be asked. */
  | { readonly state: "lost"; readonly why: string };

/** An end is remembered for seconds only, so that an answer that is late is of no use. */
const LOOK_MS = 20_000;
const SUCCESS = 200;
const CANCELLED = 401;
/** What servers before 6.0.5 and 6.12 say in place of "still running"; as part of a longer text it is a failure. */
const WAIT_IS_OVER = "context deadline exceeded";

/** Looks at an operation once: now, or as soon as it ends within `waitSeconds`. */
export async function look(
  connection: Connection,
  id: string,
  waitSeconds: number | undefined,
  signal: AbortSignal,
): Promise<Look> {
  const path = `/1.0/operations/${encodeURIComponent(id)}`;
  const asked = { host: connection.host, method: "GET", path } as const;
  const where =
    waitSeconds === undefined ? { path } : { path: `${path}/wait`, query: { timeout: String(waitSeconds) } };
  try {
    const answer = await connection.request({ method: "GET", ...where, timeoutMs: LOOK_MS }, signal);
    if (answer.kind !== "error") return lookOf(readMetadata(asked, answer, Operation));
    if (waitSeconds === undefined) throw badReply(asked, "an error under an HTTP status of success");
    if (answer.reason === WAIT_IS_OVER) return { state: "running", operation: undefined };
    return { state: "failure", reason: withoutSecrets(answer.reason), cancelled: false };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof LostRequest) return { state: "lost", why: error.message };
    if (error instanceof IncusRefusal && error.status === 404) return { state: "forgotten" };
    throw error;
  }
}

/** What an operation, as the server tells it, amounts to. */
export function lookOf(operation: Operation): Look {
  if (!isFinal(operation)) return { state: "running", operation };
  if (operation.status_code === SUCCESS) return { state: "success", operation };
  const cancelled = operation.status_code === CANCELLED;
  const reason = withoutSecrets(operation.err) || (cancelled ? "it was cancelled" : "it failed and does not say why");
  return { state: "failure", reason, cancelled };
}

/** Whether it has ended, one way or another. */
export function isFinal(operation: Operation): boolean {
  return operation.status_code >= SUCCESS;
}
