import type { IncomingHttpHeaders } from "node:http";
import type { z } from "zod";
import type { Certificate } from "./certificate.ts";
import type { Events } from "./events.ts";
import type { FaultKind, Faults } from "./faults.ts";
import type { Generation } from "./generation.ts";
import type { Nanos } from "./nanos.ts";
import type { Operations } from "./operations.ts";
import type { Reply } from "./reply.ts";
import type { State } from "./state.ts";
import type { Caller } from "./trust.ts";

export type Timings = {
  /** How long an operation that has ended can still be asked for; 5 s on a real server. */
  readonly forgetAfterMs: number;
  /** How long a migration waits for its connections; 30 s on a real server. */
  readonly connectWithinMs: number;
};

/** The inside of a fake server: what all its routes share. */
export type Host = {
  readonly name: string;
  /** The cluster's; none on a server of its own. */
  readonly members: readonly string[];
  readonly generation: Generation;
  readonly state: State;
  readonly operations: Operations;
  readonly events: Events;
  readonly faults: Faults;
  readonly timings: Timings;
  readonly now: () => Nanos;
  /** The current one: it can be swapped. */
  readonly certificate: () => Certificate;
  /** `127.0.0.1:port` */
  readonly address: () => string;
};

/** One request, as its route sees it. */
export type Context = {
  readonly host: Host;
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly project: string;
  readonly body: Buffer;
  /** What is to go wrong with the operation that this request starts. */
  readonly fault: FaultKind | undefined;
  json<T>(schema: z.ZodType<T>): T;
};

export type Route = {
  readonly method: string;
  /** With `:name` for a part that varies. */
  readonly path: string;
  /** Whether it also answers to who is not trusted. */
  readonly open?: boolean;
  readonly handle: (context: Context) => Reply | Promise<Reply>;
};

/** The value of a part of the path. */
export function param(context: Context, name: string): string {
  return context.params[name] ?? "";
}
