import type { Context } from "./host.ts";
import type { Operation, OperationSpec } from "./operations.ts";
import { Refusal, type Reply } from "./reply.ts";

type Work = Pick<OperationSpec, "description" | "project" | "resources" | "metadata"> & {
  readonly class?: OperationSpec["class"];
  readonly work: (operation: Operation) => void | Promise<void>;
  readonly onCancel?: (() => void) | undefined;
  readonly connect?: OperationSpec["connect"];
};

/** Starts a piece of work as an operation, with the request's fault in it, and answers 202. */
export function startWork(context: Context, { work, onCancel, connect, ...spec }: Work): Reply {
  const operation = context.host.operations.start({
    class: "task",
    ...spec,
    run: (running) => runWithFault(context, work, running),
    ...(onCancel === undefined ? {} : { onCancel }),
    ...(connect === undefined ? {} : { connect }),
  });
  return { kind: "async", operation };
}

async function runWithFault({ fault }: Context, work: Work["work"], operation: Operation): Promise<void> {
  switch (fault?.kind) {
    case "operation-fails":
      throw new Refusal(500, fault.error);
    case "operation-silent":
      return await forever();
    case "operation-fails-late":
      await work(operation);
      throw new Refusal(500, fault.error);
    case "operation-never-ends":
      await work(operation);
      return await forever();
    default:
      await work(operation);
  }
}

function forever(): Promise<never> {
  return new Promise(() => {});
}
