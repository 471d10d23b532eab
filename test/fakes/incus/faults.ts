/** What goes wrong with a request, or with the operation that it starts. */
export type FaultKind =
  /** The connection ends before anything has happened. */
  | { readonly kind: "cut-before" }
  /** The work is done, and the connection ends without an answer. */
  | { readonly kind: "cut-after" }
  /** The work is done, and the connection ends in the middle of the answer. */
  | { readonly kind: "cut-during" }
  /** No answer at all, and the connection stays. */
  | { readonly kind: "silence" }
  /** The answer comes late, and everything else as usual. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** What a daemon says while it starts. */
  | { readonly kind: "starting" }
  /** An error in the server's words, without any effect. */
  | { readonly kind: "refuse"; readonly status: number; readonly error: string }
  /** The work is done, and the answer is this instead. */
  | { readonly kind: "answer"; readonly status: number; readonly type: string; readonly body: string }
  /** The work is done, and the JSON of the answer ends in its middle. */
  | { readonly kind: "truncated-json" }
  /** The stream of a backup ends in good order after so many bytes, as if that were all; its operation fails. */
  | { readonly kind: "stream-short"; readonly afterBytes: number }
  /** The operation fails without any effect, as it does when the storage is full. */
  | { readonly kind: "operation-fails"; readonly error: string }
  /** The operation's work is done, and it fails all the same. */
  | { readonly kind: "operation-fails-late"; readonly error: string }
  /** The operation runs for ever and tells nothing. */
  | { readonly kind: "operation-silent" }
  /** The operation's work is done, its end is never told and never comes. */
  | { readonly kind: "operation-never-ends" }
  /** A migration loses the named connection once so many bytes have come through it. */
  | { readonly kind: "migration-cut"; readonly channel: "control" | "fs"; readonly afterBytes: number }
  /** A migration's target runs out of space once so many bytes have come. */
  | { readonly kind: "storage-full"; readonly afterBytes: number }
  /** A migration's target takes longer over its data than a target of 6.0 may to tell a volume's source how it ended. */
  | { readonly kind: "late-success"; readonly afterMs: number }
  /**
   * A migration's target is at work for so long between the last of the data and its word that all is well: one that loses
   * the source meanwhile takes the snapshots of an instance back, and forgets their volumes.
   */
  | { readonly kind: "slow-finish"; readonly afterMs: number }
  /** A migration's target asks for these snapshots too, whether they were offered or not. */
  | { readonly kind: "ask-for"; readonly names: readonly string[] }
  /** A migration's side speaks of an index header version that nobody knows. */
  | { readonly kind: "header-version"; readonly version: number }
  /** A migration's target says it succeeded and keeps its old data: the case for which both ends must be asked. */
  | { readonly kind: "false-success" };

/** For an upgrade to a websocket only those count that cut, refuse or say nothing. */
export type Fault = {
  /** Method as is, `GET` for an upgrade; path as a whole, or as an expression. The query is no part of it. */
  readonly match: { readonly method?: string; readonly path?: string | RegExp };
  readonly what: FaultKind;
  /** For how many requests; once unless it says otherwise. */
  readonly times?: number;
  /** How many requests that match are let through first. */
  readonly after?: number;
};

type Armed = { readonly fault: Fault; left: number; toSkip: number };

/** The faults that a test has ordered. */
export class Faults {
  readonly #armed: Armed[] = [];
  #eventsToLose = 0;

  add(fault: Fault): void {
    this.#armed.push({ fault, left: fault.times ?? 1, toSkip: fault.after ?? 0 });
  }

  /** So many events from now on reach nobody. */
  loseEvents(count: number): void {
    this.#eventsToLose = count;
  }

  clear(): void {
    this.#armed.length = 0;
    this.#eventsToLose = 0;
  }

  /** The fault that befalls this request, which uses it up. */
  take(method: string, path: string): FaultKind | undefined {
    for (const armed of this.#armed) {
      if (armed.left <= 0 || !matches(armed.fault, method, path)) continue;
      if (armed.toSkip > 0) {
        armed.toSkip -= 1;
        continue;
      }
      armed.left -= 1;
      return armed.fault.what;
    }
    return undefined;
  }

  takesEvent(): boolean {
    if (this.#eventsToLose <= 0) return false;
    this.#eventsToLose -= 1;
    return true;
  }
}

function matches({ match }: Fault, method: string, path: string): boolean {
  if (match.method !== undefined && match.method !== method) return false;
  if (match.path === undefined) return true;
  return typeof match.path === "string" ? match.path === path : match.path.test(path);
}
