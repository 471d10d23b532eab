import { randomUUID } from "node:crypto";
import type WebSocket from "ws";
import type { Generation } from "./generation.ts";
import { rfc3339Nanos } from "./nanos.ts";
import { Refusal, textOf } from "./reply.ts";

const STATUS = {
  Running: 103,
  Cancelling: 104,
  Pending: 105,
  Success: 200,
  Failure: 400,
  Cancelled: 401,
} as const;
const CANCEL_MS = 20;
type Status = keyof typeof STATUS;

export type OperationSpec = {
  readonly class: "task" | "websocket" | "token";
  readonly description: string;
  readonly project: string;
  readonly resources: Readonly<Record<string, readonly string[]>>;
  readonly metadata?: Record<string, unknown>;
  /** The work. The operation ends with it; without it, it runs until it is cancelled. */
  readonly run?: (operation: Operation) => Promise<void>;
  /** What a cancellation does; without it the server refuses to cancel. */
  readonly onCancel?: () => void;
  /** Takes over a websocket that came with the secret; false where the secret is wrong. */
  readonly connect?: (secret: string, accept: () => Promise<WebSocket>) => boolean;
};

type Surroundings = {
  readonly generation: Generation;
  readonly now: () => bigint;
  /** How long an operation that has ended can still be asked for. */
  readonly forgetAfterMs: number;
  readonly onChange: (operation: Operation) => void;
};

/** Something the server does in the background, and how it is going. */
export class Operation {
  readonly id = randomUUID();
  readonly spec: OperationSpec;
  /** Settles, and never rejects, when the operation has ended. */
  readonly ended: Promise<void>;
  readonly createdAt: bigint;
  #status: Status = "Running";
  #error: unknown;
  #metadata: Record<string, unknown> | undefined;
  #updatedAt: bigint;
  readonly #around: Surroundings;
  readonly #end: () => void;

  constructor(spec: OperationSpec, around: Surroundings) {
    const { promise, resolve } = withResolvers();
    this.spec = spec;
    this.ended = promise;
    this.#end = resolve;
    this.#around = around;
    this.#metadata = spec.metadata;
    this.createdAt = around.now();
    this.#updatedAt = this.createdAt;
  }

  get url(): string {
    return `/1.0/operations/${this.id}`;
  }

  get status(): Status {
    return this.#status;
  }

  get error(): unknown {
    return this.#error;
  }

  get hasEnded(): boolean {
    return STATUS[this.#status] >= 200;
  }

  start(): void {
    this.#around.onChange(this);
    if (this.spec.run === undefined) return;
    const run = this.spec.run;
    setImmediate(() => {
      run(this).then(
        () => this.#finish("Success", undefined),
        (error: unknown) => this.#finish("Failure", error),
      );
    });
  }

  /** Adds to what clients are told of the progress. */
  tell(metadata: Record<string, unknown>): void {
    if (this.hasEnded) return;
    this.#metadata = { ...this.#metadata, ...metadata };
    this.#updatedAt = this.#around.now();
    this.#around.onChange(this);
  }

  cancel(): void {
    if (this.#status !== "Running") throw new Refusal(400, "Only running operations can be cancelled");
    if (this.spec.onCancel === undefined) throw new Refusal(400, "This operation can't be cancelled");
    this.#status = "Cancelling";
    this.#around.onChange(this);
    this.spec.onCancel();
    // What is cancelled takes its time to end, on a real server up to a second.
    setTimeout(() => this.#finish("Cancelled", undefined), CANCEL_MS).unref();
  }

  render(): object {
    const nothing = this.#around.generation.nullMetadata ? null : {};
    return {
      id: this.id,
      class: this.spec.class,
      description: this.spec.description,
      created_at: rfc3339Nanos(this.createdAt),
      updated_at: rfc3339Nanos(this.#updatedAt),
      status: this.#status,
      status_code: STATUS[this.#status],
      resources: this.spec.resources,
      metadata: this.#hasSecretsToHide() ? {} : (this.#metadata ?? nothing),
      may_cancel: this.spec.onCancel !== undefined && !this.hasEnded,
      err: this.#error === undefined ? "" : textOf(this.#error),
      location: "none",
    };
  }

  /** Newer servers tell no secrets once they are good for nothing. */
  #hasSecretsToHide(): boolean {
    return this.hasEnded && this.spec.class !== "task" && !this.#around.generation.nullMetadata;
  }

  #finish(status: Status, error: unknown): void {
    // What fails because it was cancelled has been cancelled.
    if (this.hasEnded || (this.#status === "Cancelling" && status !== "Cancelled")) return;
    this.#status = status;
    this.#error = error;
    this.#updatedAt = this.#around.now();
    this.#end();
    this.#around.onChange(this);
  }
}

/** The operations a server still remembers. */
export class Operations {
  readonly #all = new Map<string, Operation>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #around: Surroundings;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  start(spec: OperationSpec): Operation {
    const operation = new Operation(spec, this.#around);
    this.#all.set(operation.id, operation);
    void operation.ended.then(() => this.#forgetLater(operation));
    operation.start();
    return operation;
  }

  get(id: string): Operation {
    const found = this.#all.get(id);
    if (found === undefined) throw new Refusal(404, "Operation not found");
    return found;
  }

  list(): Operation[] {
    return [...this.#all.values()];
  }

  /** A daemon that ends takes its operations with it. */
  forgetAll(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#all.clear();
  }

  #forgetLater(operation: Operation): void {
    const timer = setTimeout(() => {
      this.#all.delete(operation.id);
      this.#timers.delete(timer);
    }, this.#around.forgetAfterMs);
    this.#timers.add(timer);
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
