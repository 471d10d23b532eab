import { z } from "zod";
import { AgentError, IncusRefusal } from "../model/errors.ts";

/** Only the fields that the agent reads. */
export const Operation = z.object({
  id: z.string(),
  class: z.string().default("task"),
  description: z.string().default(""),
  status_code: z.number(),
  updated_at: z.string().default(""),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  may_cancel: z.boolean().default(false),
  err: z.string().default(""),
});
export type Operation = z.infer<typeof Operation>;

/** What a server answered. The kind is told by the body alone: one verb may answer either way. */
export type Answer =
  | {
      readonly kind: "sync";
      readonly metadata: unknown;
      readonly etag: string | undefined;
      readonly location: string | undefined;
      /** The server's time when it answered, as HTTP has it. */
      readonly date: string | undefined;
    }
  | { readonly kind: "async"; readonly operation: Operation }
  /** An error under an HTTP status of success: how older servers end a `/wait`. All other errors are thrown. */
  | { readonly kind: "error"; readonly status: number; readonly reason: string };

/** A request as messages name it: never with its query, which may hold a secret. */
export type Asked = { readonly host: string; readonly method: string; readonly path: string };

/** A reply as it came over the wire. */
export type Reply = {
  readonly status: number;
  readonly contentType: string;
  readonly etag: string | undefined;
  readonly location: string | undefined;
  readonly text: string;
  readonly date?: string | undefined;
};

const Envelope = z.discriminatedUnion("type", [
  z.object({ type: z.literal("sync"), metadata: z.unknown() }),
  z.object({ type: z.literal("async"), metadata: Operation }),
  z.object({ type: z.literal("error"), error_code: z.number(), error: z.string() }),
]);

/** Reads a reply's envelope. An error is thrown as a refusal, and what makes no sense as a bad reply. */
export function readAnswer(asked: Asked, reply: Reply): Answer {
  const read = Envelope.safeParse(parsedBody(asked, reply));
  if (!read.success) throw badReply(asked, `${problemsOf(read.error)} (HTTP ${reply.status})`, read.error);
  const envelope = read.data;
  if (envelope.type === "error") {
    const { error_code: status, error: reason } = envelope;
    if (reply.status < 300) return { kind: "error", status, reason };
    throw refusal(asked, status, reason);
  }
  if (reply.status >= 300) throw badReply(asked, `HTTP ${reply.status} with the body of a success`);
  if (envelope.type === "async") return { kind: "async", operation: envelope.metadata };
  return { kind: "sync", metadata: envelope.metadata, etag: reply.etag, location: reply.location, date: reply.date };
}

/** Reads what a synchronous answer holds, by the fields that the agent uses. */
export function readMetadata<T>(asked: Asked, answer: Answer, schema: z.ZodType<T>): T {
  if (answer.kind !== "sync") throw badReply(asked, `an answer of type ${answer.kind} where sync is due`);
  const read = schema.safeParse(answer.metadata);
  if (!read.success) throw badReply(asked, `metadata: ${problemsOf(read.error)}`, read.error);
  return read.data;
}

/** What could not be made sense of: which request, and why. */
export function badReply(asked: Asked, why: string, cause?: unknown): AgentError {
  return new AgentError(
    "incus.bad-reply",
    `Cannot read what ${asked.host} answered to ${asked.method} ${asked.path}: ${why}`,
    { cause, hint: "Check that Incus itself is behind this address, and no proxy with pages of its own" },
  );
}

/** An error that the server answered with. */
function refusal(asked: Asked, status: number, reason: string): IncusRefusal {
  const words = withoutSecrets(reason);
  const hint = BY_REASON.find(([pattern]) => pattern.test(reason))?.[1] ?? hintFor(status);
  return new IncusRefusal(
    status,
    `Cannot ${asked.method} ${asked.path}: ${asked.host} answered ${status}${words === "" ? "" : `: ${words}`}`,
    { reason: words, ...(hint === undefined ? {} : { hint }) },
  );
}

/** A server's words without the websocket secrets that it may quote. */
export function withoutSecrets(text: string): string {
  return text.replace(/(secret=)[^&\s"']+/gi, "$1[secret]");
}

function parsedBody(asked: Asked, reply: Reply): unknown {
  try {
    return JSON.parse(reply.text);
  } catch {
    // Without the parser's words as a cause: they quote the body, which may hold a secret.
    const type = reply.contentType.slice(0, 60) || "no type";
    const what = reply.text === "" ? "no body" : `${reply.text.length} characters of ${type} that are not JSON`;
    throw badReply(asked, `HTTP ${reply.status} with ${what}`);
  }
}

/** At most three, as `path: problem`: a list of thousands may be wrong in each of its elements. */
function problemsOf(error: z.ZodError): string {
  const all = error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`);
  return all.length <= 3 ? all.join("; ") : `${all.slice(0, 3).join("; ")}; and ${all.length - 3} more`;
}

/** What a project that is restricted refuses, and what helps. */
const BY_REASON: readonly (readonly [RegExp, string])[] = [
  [/cluster member targeting/i, "On the server: incus project set PROJECT restricted.cluster.target=allow"],
  [/aren't allowed to use pull mode/i, "Set `mode: push` or `mode: relay` for the project: its target is restricted"],
];

function hintFor(status: number): string | undefined {
  switch (status) {
    case 403:
      return "The agent's certificate is not trusted there, or its projects do not include this one";
    case 412:
      return "Somebody changed it in the meantime; the next run sees it as it is";
    case 503:
      return "The server is starting or shutting down; try again when it is up";
    default:
      return undefined;
  }
}
