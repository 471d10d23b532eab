import type WebSocket from "ws";
import type { Faults } from "./faults.ts";
import { type Nanos, rfc3339Nanos } from "./nanos.ts";
import type { Operation } from "./operations.ts";
import { Refusal } from "./reply.ts";
import type { State } from "./state.ts";
import { type Caller, mayUse } from "./trust.ts";

const TYPES = ["logging", "operation", "lifecycle"];

type Subscription = {
  readonly types: readonly string[];
  /** Undefined for all projects. */
  readonly project: string | undefined;
  readonly caller: Caller;
};

/** The events websockets: what happens is told to those who listen now, and to nobody else ever. */
export class Events {
  readonly #listeners = new Map<WebSocket, Subscription>();
  readonly #faults: Faults;
  readonly #now: () => Nanos;

  constructor(faults: Faults, now: () => Nanos) {
    this.#faults = faults;
    this.#now = now;
  }

  subscribe(socket: WebSocket, subscription: Subscription): void {
    this.#listeners.set(socket, subscription);
    socket.on("close", () => this.#listeners.delete(socket));
    // A real server takes any word from the client for the end of the conversation.
    socket.on("message", () => socket.close());
    socket.on("error", () => this.#listeners.delete(socket));
  }

  operation(operation: Operation): void {
    this.#tell("operation", operation.spec.project, operation.render());
  }

  lifecycle(project: string, action: string, source: string): void {
    const requestor = { username: "", protocol: "tls", address: "" };
    this.#tell("lifecycle", project, { action, source, context: {}, requestor, name: "", project });
  }

  /** Ends all connections without a word. */
  cut(): void {
    for (const socket of this.#listeners.keys()) socket.terminate();
  }

  #tell(type: string, project: string, metadata: object): void {
    if (this.#listeners.size === 0 || this.#faults.takesEvent()) return;
    const frame = JSON.stringify({
      type,
      timestamp: rfc3339Nanos(this.#now()),
      metadata,
      location: "none",
      project,
    });
    for (const [socket, subscription] of this.#listeners) {
      if (wants(subscription, type, project)) socket.send(frame);
    }
  }
}

/** Reads what a client wants to hear, and refuses what a real server refuses. */
export function subscriptionOf(query: URLSearchParams, caller: Caller, state: State): Subscription {
  const all = query.get("all-projects") === "true";
  if (all && query.has("project")) {
    throw new Refusal(400, "Cannot specify a project when requesting events for all projects");
  }
  const types = query.get("type")?.split(",") ?? TYPES.filter((type) => !caller.restricted || type !== "logging");
  const unknown = types.find((type) => !TYPES.includes(type));
  if (unknown !== undefined) throw new Refusal(400, `"${unknown}" isn't a supported event type`);
  if (caller.restricted && types.includes("logging")) throw new Refusal(403, "Certificate is restricted");
  if (all) return { types, project: undefined, caller };
  const project = query.get("project") ?? "default";
  if (!mayUse(caller, project)) throw new Refusal(403, `User does not have permission for project "${project}"`);
  if (!state.projects.has(project)) throw new Refusal(404, "Project not found");
  return { types, project, caller };
}

function wants({ types, project, caller }: Subscription, type: string, of: string): boolean {
  return types.includes(type) && (project === undefined || project === of) && mayUse(caller, of);
}
