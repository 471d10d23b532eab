/** A user property, and whether it was set here, or came with a stream. */
type MarkValue = { readonly value: string; readonly source: "local" | "received" };
export type Marks = Map<string, MarkValue>;

export type FakeDataset = {
  type: "filesystem" | "volume";
  content: string;
  encryptionRoot: string | undefined;
  keyLoaded: boolean;
  /** The snapshot that it is a clone of. */
  origin: string | undefined;
  volmode: "none" | "dev";
  /** So many attempts to destroy it fail, since udev looks at it. */
  busyFor: number;
  marks: Marks;
};

export type FakeSnapshot = { readonly content: string; readonly marks: Marks; readonly holds: Set<string> };

export type ZfsState = {
  readonly datasets: Map<string, FakeDataset>;
  readonly snapshots: Map<string, FakeSnapshot>;
  readonly mounts: { source: string; path: string }[];
  readonly folders: Set<string>;
  /** Command lines of other processes, by number. */
  readonly others: Map<string, readonly string[]>;
  /** Programs that are not installed. */
  readonly missing: Set<string>;
  /** Volumes whose device does not appear. */
  readonly withoutDevice: { is: boolean };
  /** The agent's own. */
  readonly process: { readonly pid: string; start: number };
};

export function emptyState(): ZfsState {
  return {
    datasets: new Map(),
    snapshots: new Map(),
    mounts: [],
    folders: new Set(),
    others: new Map(),
    missing: new Set(),
    withoutDevice: { is: false },
    process: { pid: "100", start: 5000 },
  };
}
