import type { ServerResponse } from "node:http";
import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import type { Operation } from "./operations.ts";
import { errorEnvelope, Refusal, type Reply, statusOf, sync, syncEnvelope, textOf } from "./reply.ts";
import { mayUse } from "./trust.ts";

export const operationRoutes: readonly Route[] = [
  { method: "GET", path: "/1.0/operations", handle: listOperations },
  { method: "GET", path: "/1.0/operations/:id", handle: (context) => sync(operationOf(context).render()) },
  { method: "GET", path: "/1.0/operations/:id/wait", handle: waitFor },
  { method: "DELETE", path: "/1.0/operations/:id", handle: cancel },
];

/** A map from status to operations, absent where there are none. */
function listOperations(context: Context): Reply {
  const all = context.query.get("all-projects") === "true";
  const byStatus = new Map<string, unknown[]>();
  for (const operation of context.host.operations.list()) {
    const { project } = operation.spec;
    if (!isVisible(context, operation) || (!all && project !== context.project)) continue;
    const status = operation.status.toLowerCase();
    const entry = (context.query.get("recursion") ?? "0") === "0" ? operation.url : operation.render();
    byStatus.set(status, [...(byStatus.get(status) ?? []), entry]);
  }
  return sync(Object.fromEntries(byStatus));
}

function isVisible({ caller, host }: Context, { spec }: Operation): boolean {
  return mayUse(caller, spec.project) && !(caller.restricted && spec.class === "token" && host.generation.hidesTokens);
}

function operationOf(context: Context): Operation {
  const operation = context.host.operations.get(param(context, "id"));
  if (!isVisible(context, operation)) throw new Refusal(403, "Certificate is restricted");
  return operation;
}

/** The status line goes out at once; how it ended comes in the body, in the words of the generation. */
function waitFor(context: Context): Reply {
  const operation = operationOf(context);
  const seconds = Number(context.query.get("timeout") ?? "-1");
  return {
    kind: "stream",
    write: async (response) => {
      response.writeHead(200, { "content-type": "application/json", "x-content-type-options": "nosniff" });
      response.flushHeaders();
      await endOf(operation, seconds, response);
      const envelope = waitEnvelope(operation, context.host.generation.waitFailsAsError);
      response.end(`${JSON.stringify(envelope)}\n`);
    },
  };
}

/** Until the operation has ended, the time is up, or nobody listens any more. */
function endOf(operation: Operation, seconds: number, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const timer = seconds >= 0 ? setTimeout(resolve, seconds * 1000) : undefined;
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    response.once("close", done);
    void operation.ended.then(done);
  });
}

function waitEnvelope(operation: Operation, failsAsError: boolean): object {
  if (!failsAsError) return syncEnvelope(operation.render());
  if (!operation.hasEnded) return errorEnvelope(500, "context deadline exceeded");
  if (operation.error === undefined) return syncEnvelope(operation.render());
  return errorEnvelope(statusOf(operation.error), textOf(operation.error));
}

function cancel(context: Context): Reply {
  operationOf(context).cancel();
  return sync({});
}
