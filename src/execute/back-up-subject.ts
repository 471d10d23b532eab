import type { BackUpStep, PartProgress, StoredPart } from "../model/offsite-plan.ts";
import type { Archive, Reading, Server } from "../model/ports.ts";
import type { Part, ReadingRun, Subject } from "../model/reading.ts";
import { type EpochMs, rfc3339 } from "../model/time.ts";

export type BackUpTools = {
  readonly archive: Archive;
  /** The server whose workload it is. */
  readonly server: Server;
  readonly reading: Reading;
  readonly run: ReadingRun;
  /** The moment that the reading shows. */
  readonly at: EpochMs;
};

/**
 * Puts all parts of a subject into the archive, and then what its server says of it together with what the parts are: a
 * subject whose record of a run is there is whole.
 */
export async function backUpSubject(
  step: BackUpStep,
  tools: BackUpTools,
  onProgress: (progress: PartProgress) => void,
  signal: AbortSignal,
): Promise<readonly StoredPart[]> {
  const description = await describe(step.subject, tools.server, signal);
  const { parts, snapshot, close } = await tools.reading.open(step.subject, signal);
  return closing(close, async () => {
    const stored: StoredPart[] = [];
    const store = async (part: Part) => {
      stored.push(await storePart(part, { step, snapshot, ...tools }, onProgress, signal));
    };
    for (const part of parts) await store(part);
    await store(recordPart({ step, snapshot, description, parts, stored, ...tools }));
    return stored;
  });
}

/** What went wrong with the work counts for more than what went wrong with the closing. */
async function closing<T>(close: () => Promise<void>, work: () => Promise<T>): Promise<T> {
  const [worked] = await Promise.allSettled([work()]);
  if (worked.status === "fulfilled") {
    await close();
    return worked.value;
  }
  await Promise.allSettled([close()]);
  throw worked.reason;
}

async function describe(subject: Subject, server: Server, signal: AbortSignal): Promise<Described> {
  return subject.kind === "dataset" ? { dataset: subject.dataset } : server.describe(subject.workload, signal);
}

type Described = Readonly<Record<string, unknown>>;

type Storing = BackUpTools & { readonly step: BackUpStep; readonly snapshot: string | undefined };

async function storePart(
  part: Part,
  { step, snapshot, archive }: Storing,
  onProgress: (progress: PartProgress) => void,
  signal: AbortSignal,
): Promise<StoredPart> {
  const what = {
    path: `${step.path}/${part.name.split("/").map(encodeURIComponent).join("/")}`,
    description: `${step.description}: ${part.name}, ${step.tags["run"]}`,
    tags: { ...step.tags, part: part.name, role: part.role, ...(snapshot === undefined ? {} : { snapshot }) },
  };
  const tell = (percent: number | undefined, bytes: number | undefined) =>
    onProgress({ part: part.name, percent, bytes });
  tell(undefined, undefined);
  const backup = await (part.kind === "folder"
    ? archive.backUpFolder(part.folder, what, ({ percent }) => tell(percent, undefined), signal)
    : archive.backUpStream({ name: part.fileName, bytes: counted(part, tell, signal) }, what, signal));
  return { part: part.name, backup: backup.id, sizeBytes: backup.sizeBytes };
}

/** The stream, telling how much of it went by. */
async function* counted(
  { bytes, sizeBytes }: Part & { kind: "stream" },
  tell: (percent: number | undefined, bytes: number) => void,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  for await (const chunk of bytes(signal)) {
    read += chunk.byteLength;
    tell(sizeBytes === undefined || sizeBytes === 0 ? undefined : Math.min(100, (100 * read) / sizeBytes), read);
    yield chunk;
  }
}

const RECORD_NAMES = { instance: "instance.json", volume: "volume.json", dataset: "dataset.json" } as const;

type Recorded = Storing & {
  readonly description: Described;
  readonly parts: readonly Part[];
  readonly stored: readonly StoredPart[];
};

/** What a restore needs to make the workload again: all that its server said, and which backups belong together. */
function recordPart(recorded: Recorded): Part {
  const { step, snapshot, description, parts, stored, run, at } = recorded;
  const { subject, place } = step;
  const kind = subject.kind === "dataset" ? "dataset" : subject.workload.kind;
  const record = {
    version: 1,
    kind,
    workload: step.tags["workload"],
    host: step.tags["host"],
    run: run.name,
    at: rfc3339(at),
    read: place.read,
    snapshot: snapshot ?? null,
    pool: subject.kind === "dataset" ? null : subject.pool,
    parts: parts.map(({ name, role, kind: form }, index) => ({ name, role, form, ...stored[index] })),
    [kind]: description,
  };
  const bytes = new TextEncoder().encode(`${JSON.stringify(record, undefined, 2)}\n`);
  return {
    kind: "stream",
    role: "config",
    name: "config",
    fileName: RECORD_NAMES[kind],
    sizeBytes: bytes.byteLength,
    bytes: () => once(bytes),
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
