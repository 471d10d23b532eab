import { AgentError } from "../../../src/model/errors.ts";
import type { Reader } from "../../../src/model/ports.ts";
import { type Part, type ReadingPlace, type Subject, subjectId } from "../../../src/model/reading.ts";

/** What a subject holds: the bytes of each of its streams, by the part's name. */
export type Contents = Record<string, string>;

export type MemoryReader = Reader & {
  readonly place: ReadingPlace;
  /** By the subject's id; a subject that is not here cannot be held. */
  readonly contents: Map<string, Contents>;
  /** What runs that died have left, by name. */
  readonly leftovers: Set<string>;
  /** What is held, and what is open, at this moment. */
  readonly held: Set<string>;
  readonly open: Set<string>;
  /** Every call so far, in order. */
  readonly calls: string[];
  /** Replaced by a test that wants a stream to break, to wait, or to be seen. */
  chunks: (text: string, id: string, signal: AbortSignal) => AsyncIterable<Uint8Array>;
};

/** A reader of what is in memory. What is held does not follow what changes afterwards. */
export function memoryReader(place: ReadingPlace, given: Readonly<Record<string, Contents>> = {}): MemoryReader {
  const calls: string[] = [];
  const reader: MemoryReader = {
    place,
    contents: new Map(Object.entries(given)),
    leftovers: new Set(),
    held: new Set(),
    open: new Set(),
    calls,
    chunks: inOneChunk,
    sweep: async () => {
      calls.push("sweep");
      const found = [...reader.leftovers];
      reader.leftovers.clear();
      return found;
    },
    hold: async (subjects, run, signal) => {
      signal.throwIfAborted();
      const { name } = run;
      calls.push(`hold ${name} ${subjects.map(subjectId).join(" ")}`);
      const moment = new Map(subjects.map((each) => [subjectId(each), contentsOf(each)]));
      for (const id of moment.keys()) reader.held.add(`${id}@${name}`);
      return {
        open: async (subject) => {
          const id = subjectId(subject);
          calls.push(`open ${id}`);
          const contents = moment.get(id);
          if (contents === undefined)
            throw new AgentError("incus.refused", `Cannot read ${id}: there is no such thing`);
          reader.open.add(id);
          return {
            parts: Object.entries(contents).map(([name, text]) => partOf(name, text, id)),
            snapshot: name,
            close: async () => {
              calls.push(`close ${id}`);
              reader.open.delete(id);
            },
          };
        },
        release: async () => {
          calls.push("release");
          for (const id of moment.keys()) reader.held.delete(`${id}@${name}`);
        },
      };
    },
  };
  return reader;

  function contentsOf(subject: Subject): Contents | undefined {
    const found = reader.contents.get(subjectId(subject));
    return found && { ...found };
  }

  function partOf(name: string, text: string, id: string): Part {
    return {
      kind: "stream",
      role: "export",
      name,
      fileName: `${name}.tar`,
      sizeBytes: text.length,
      bytes: (signal) => reader.chunks(text, id, signal),
    };
  }
}

async function* inOneChunk(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
