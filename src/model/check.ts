/** `unknown`: it could not be looked at, since something that it needs is not as it should be. */
export type CheckState = "ok" | "warning" | "failed" | "unknown";

/** One thing that a run needs, and how it stands with it. */
export type Check = {
  /** What is looked at, for scripts to tell apart: `server.reached`, `credentials.key`. */
  readonly check: string;
  /** Whose: a file, a server, a workload. */
  readonly subject: string;
  readonly state: CheckState;
  readonly text: string;
  /** What a person can do about it. */
  readonly remedy: string | undefined;
};
