import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { Operation } from "./operations.ts";

/** What a route answers. Errors are thrown as `Refusal`. */
export type Reply =
  | {
      readonly kind: "sync";
      readonly metadata: unknown;
      readonly status?: number;
      readonly location?: string;
      readonly etagOf?: unknown;
    }
  | { readonly kind: "async"; readonly operation: Operation }
  | { readonly kind: "stream"; readonly write: (response: ServerResponse) => Promise<void> };

/** An error as the server words it, with its HTTP status. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const NOT_AUTHORIZED = "not authorized";

export function sync(metadata: unknown, etagOf?: unknown): Reply {
  return { kind: "sync", metadata, ...(etagOf === undefined ? {} : { etagOf }) };
}

export function created(location: string): Reply {
  return { kind: "sync", metadata: null, status: 201, location };
}

export function syncEnvelope(metadata: unknown): object {
  return { type: "sync", status: "Success", status_code: 200, operation: "", error_code: 0, error: "", metadata };
}

export function errorEnvelope(status: number, error: string): object {
  return { type: "error", status: "", status_code: 0, operation: "", error_code: status, error, metadata: null };
}

export function asyncEnvelope(url: string, metadata: unknown): object {
  return {
    type: "async",
    status: "Operation created",
    status_code: 100,
    operation: url,
    error_code: 0,
    error: "",
    metadata,
  };
}

/** The entity tag of whatever an object's editable part is made of. */
export function etag(of: unknown): string {
  return createHash("sha256").update(JSON.stringify(of)).digest("hex");
}

/** What an unforeseen error is answered with; a `Refusal` brings its own status. */
export function statusOf(error: unknown): number {
  return error instanceof Refusal ? error.status : 500;
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
