/** What went wrong, for callers and scripts to tell apart. Each code has its exit code in `cli/exit.ts`. */
export type ErrorCode =
  | "usage"
  | "config.invalid"
  | "credentials.unusable"
  | "files.unusable"
  | "incus.unreachable"
  | "incus.refused"
  | "incus.bad-reply"
  | "incus.operation-failed"
  | "copy.unproven"
  /** An instance was stopped for its snapshot and could not be started again. */
  | "instance.down"
  | "history.refused"
  | "trust.mismatch"
  | "trust.token"
  | "notify.refused"
  | "kopia.failed"
  | "kopia.password"
  | "kopia.unreachable"
  | "kopia.certificate"
  | "kopia.host-key"
  | "kopia.clock"
  | "kopia.denied"
  /** The storage holds no repository. */
  | "kopia.empty"
  | "kopia.no-bucket"
  /** The storage holds something that is no repository of Kopia's. */
  | "kopia.foreign"
  | "kopia.full"
  /** No answer, or no progress, within the time limit. */
  | "kopia.silent"
  | "kopia.not-found"
  /** A backup that lacks something. */
  | "kopia.incomplete"
  /** What is stored cannot be read back. */
  | "kopia.damaged"
  | "kopia.policy"
  /** What holds the data cannot be read here: not mounted, no rights, no program. */
  | "storage.unusable"
  /** Something of ours on a storage could not be removed again. */
  | "storage.left"
  /** A pool has no room for what is to be restored into it. */
  | "storage.full"
  /** A run died while something restored took the place of what was there. */
  | "restore.half"
  | "lock.held"
  | "window.closed"
  | "window.unreadable"
  | "cancelled";

type Extra = { readonly cause?: unknown; readonly hint?: string };

/** A failure that the agent foresaw. Whatever else is thrown is a bug. */
export class AgentError extends Error {
  override readonly name: string = "AgentError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, more: Extra = {}) {
    super(message, { cause: more.cause });
    this.code = code;
    this.hint = more.hint;
  }
}

/** An error that a server answered with, in so many words. */
export class IncusRefusal extends AgentError {
  override readonly name = "IncusRefusal";
  readonly status: number;
  /** The server's own words, which differ between its releases: a hint for people, and no more. */
  readonly reason: string;

  constructor(status: number, message: string, more: Extra & { readonly reason?: string } = {}) {
    super("incus.refused", message, more);
    this.status = status;
    this.reason = more.reason ?? message;
  }
}
