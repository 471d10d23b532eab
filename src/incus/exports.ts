import { z } from "zod";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { ExportOptions } from "../model/export.ts";
import { MINUTE_MS } from "../model/time.ts";
import { type Unit, unitLabel } from "../model/unit.ts";
import { badReply, Operation, readMetadata } from "./answer.ts";
import { carryOut, type Via } from "./carry-out.ts";
import type { Request } from "./exchange.ts";
import type { Ended } from "./operations.ts";
import { unitAt, unitPath } from "./unit-path.ts";

const OCTETS = "application/octet-stream";
/** What was begun on the server is ended under a time of its own. */
const UNDO_MS = 2 * MINUTE_MS;
const MOST_LOOKS = 5;

/** The file of a unit, streamed by the server as it makes it. */
export async function* directExport(via: Via, unit: Unit, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { connection, operations, clock } = via;
  const path = `${unitPath(unit)}/backups`;
  // Any other Accept header, and any name, starts an ordinary backup instead.
  const request: Request = {
    method: "POST",
    path,
    query: { project: unit.project },
    body: whatToExport(unit),
    headers: { accept: OCTETS },
  };
  const download = await connection.openDownload(request, signal);
  if (download.kind === "answer") {
    throw badReply(
      { host: connection.host, method: "POST", path },
      "no file, although the server says it streams them",
    );
  }
  const over = new AbortController();
  const parts = download.bytes[Symbol.asyncIterator]();
  let movedAt = clock.now();
  let isWaiting = false;
  try {
    // A failed file can end like a whole one, so the work behind it has to be known: before any of it is read, since the
    // server forgets it some seconds after its end.
    const operation = await findOperation(via, unit, signal);
    // While nobody takes the file the server cannot get on, and is not to be given up for that.
    const options = { movedAt: () => (isWaiting ? movedAt : clock.now()) };
    const ended = operations.waitFor(operation, options, AbortSignal.any([signal, over.signal]));
    ended.catch(() => {});
    for (;;) {
      isWaiting = true;
      movedAt = clock.now();
      const next = await parts.next().catch(async (cause) => {
        throw await whyBroken(via, unit, ended, cause, signal);
      });
      isWaiting = false;
      if (next.done) break;
      yield next.value;
    }
    isWaiting = true;
    throwUnlessDone(via, unit, await ended);
  } finally {
    over.abort();
    await parts.return?.();
  }
}

/** The file of a unit, made on the server first and removed there whatever happens. */
export async function* temporaryExport(
  via: Via,
  unit: Unit,
  { name, expiresAt }: ExportOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { connection } = via;
  const backups = `${unitPath(unit)}/backups`;
  const path = `${backups}/${encodeURIComponent(name)}`;
  const query = { project: unit.project };
  const what = `export ${unitLabel(unit)}`;
  const isThere = (under: AbortSignal) => hasBackup(via, path, query, under);
  await removeBackup(via, unit, path, signal);
  try {
    const body = { name, expires_at: new Date(expiresAt).toISOString(), ...whatToExport(unit) };
    await carryOut(
      via,
      { what, unit, request: { method: "POST", path: backups, query, body }, isDone: isThere },
      signal,
    );
    const download = await connection.openDownload({ method: "GET", path: `${path}/export`, query }, signal);
    if (download.kind === "answer") {
      throw badReply({ host: connection.host, method: "GET", path: `${path}/export` }, "no file");
    }
    yield* download.bytes;
  } finally {
    await removeBackup(via, unit, path, AbortSignal.timeout(UNDO_MS));
  }
}

/** Without compression the same content has the same bytes; without snapshots it is in there once. */
function whatToExport(unit: Unit) {
  const alone = unit.kind === "instance" ? { instance_only: true } : { volume_only: true };
  return { compression_algorithm: "none", optimized_storage: false, ...alone };
}

async function hasBackup(
  { connection }: Via,
  path: string,
  query: Request["query"] & object,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await connection.request({ method: "GET", path, query }, signal);
    return true;
  } catch (error) {
    if (error instanceof IncusRefusal && error.status === 404) return false;
    throw error;
  }
}

async function removeBackup(via: Via, unit: Unit, path: string, signal: AbortSignal): Promise<void> {
  const query = { project: unit.project };
  if (!(await hasBackup(via, path, query, signal))) return;
  const isDone = async (under: AbortSignal) => !(await hasBackup(via, path, query, under));
  const what = `remove the exported file of ${unitLabel(unit)}`;
  await carryOut(via, { what, unit, request: { method: "DELETE", path, query }, isDone }, signal);
}

/** By status; more of each operation than others have a use for. */
const OperationLists = z.record(
  z.string(),
  z
    .array(
      Operation.extend({
        created_at: z.string().default(""),
        resources: z.record(z.string(), z.array(z.string()).nullish()).nullish(),
      }),
    )
    .nullish(),
);
type Listed = NonNullable<z.infer<typeof OperationLists>[string]>[number];

/** The work that a file comes from: the answer does not name it. */
async function findOperation({ connection, clock }: Via, unit: Unit, signal: AbortSignal): Promise<Operation> {
  const request: Request = {
    method: "GET",
    path: "/1.0/operations",
    query: { recursion: "1", "all-projects": "true" },
  };
  for (let looks = 1; ; looks += 1) {
    const answer = await connection.request(request, signal);
    const lists = readMetadata({ host: connection.host, ...request }, answer, OperationLists);
    const [newest] = Object.values(lists)
      .flatMap((list) => list ?? [])
      .filter((operation) => isExportOf(operation, unit))
      .sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    if (newest !== undefined) return newest;
    if (looks === MOST_LOOKS) break;
    await clock.sleep(200, signal);
  }
  throw new AgentError(
    "incus.bad-reply",
    `Cannot export ${unitLabel(unit)}: ${connection.host} does not say how it goes`,
    {
      hint: "Without that a failed file cannot be told from a whole one; try again when the server is less busy",
    },
  );
}

/** Servers leave the project out of these addresses. */
function isExportOf({ class: kind, description, resources }: Listed, unit: Unit): boolean {
  if (kind !== "task" || !/back(ing )?up/i.test(description)) return false;
  const touched = Object.values(resources ?? {}).flatMap((list) => list ?? []);
  return touched.map(unitAt).some((other) => {
    if (other?.name !== unit.name || other.kind !== unit.kind) return false;
    return other.kind === "instance" || (unit.kind === "volume" && other.pool === unit.pool);
  });
}

/** The server's own words, where it has any, say more than that a connection broke. */
async function whyBroken(
  { connection, clock }: Via,
  unit: Unit,
  ended: Promise<Ended>,
  cause: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  if (signal.aborted) return cause;
  const told = await Promise.race([ended.catch(() => undefined), clock.sleep(5000, signal).catch(() => undefined)]);
  if (typeof told !== "object" || told.state !== "failure") return cause;
  const message = `Cannot export ${unitLabel(unit)} on ${connection.host}: ${told.reason}`;
  return new AgentError("incus.operation-failed", message, { cause });
}

function throwUnlessDone({ connection }: Via, unit: Unit, ended: Ended): void {
  if (ended.state === "success") return;
  const why = ended.state === "failure" ? ended.reason : ended.why;
  throw new AgentError("incus.operation-failed", `Cannot export ${unitLabel(unit)} on ${connection.host}: ${why}`);
}
