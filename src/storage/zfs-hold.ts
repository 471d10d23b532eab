import { AgentError } from "../model/errors.ts";
import { type Subject, subjectId } from "../model/reading.ts";
import type { Mark } from "./holder.ts";
import { type Dataset, PREFIX, type Zfs } from "./zfs.ts";
import { placesOf, rootOf, type ZfsPlace } from "./zfs-place.ts";

/** What is held of each subject, by its id, or why it is not. */
export type ZfsHoldings = Map<string, readonly ZfsPlace[] | { readonly failure: AgentError }>;

/** What one snapshot of ours is called on every dataset. */
export function snapshotOf(dataset: string, run: string): string {
  return `${dataset}@${PREFIX}${run}`;
}

/** How often a snapshot is tried while somebody deletes what it is to be of. */
const ATTEMPTS = 3;

/** Takes one snapshot of everything, at one moment in each zpool. */
export async function holdDatasets(
  subjects: readonly Subject[],
  root: string | undefined,
  mark: Mark,
  zfs: Zfs,
  signal: AbortSignal,
): Promise<ZfsHoldings> {
  const holdings: ZfsHoldings = new Map();
  let wanted = await placed(subjects, root, holdings, zfs, signal);
  for (let attempt = 1; wanted.length > 0; attempt += 1) {
    const again: Subject[] = [];
    for (const zpool of new Set(wanted.map(zpoolOf))) {
      const here = wanted.filter((each) => zpoolOf(each) === zpool);
      const failure = await snapshotAll(here, mark, zfs, signal);
      // Somebody deleted one of them meanwhile, and it is all or nothing: once more with what is left.
      if (vanished(failure) && attempt < ATTEMPTS) again.push(...here.map(({ subject }) => subject));
      else note(here, failure, holdings);
    }
    wanted = await placed(again, root, holdings, zfs, signal);
  }
  return holdings;
}

function note(here: readonly Placed[], failure: AgentError | undefined, holdings: ZfsHoldings): void {
  for (const { subject, places } of here) {
    holdings.set(subjectId(subject), failure === undefined ? places : { failure });
  }
}

/** Why it could not be done; undefined once it is. */
async function snapshotAll(
  here: readonly Placed[],
  mark: Mark,
  zfs: Zfs,
  signal: AbortSignal,
): Promise<AgentError | undefined> {
  const names = new Set(here.flatMap(({ places }) => places.map(({ dataset }) => dataset.name)));
  try {
    await zfs.snapshot([...names], `${PREFIX}${mark.run}`, mark, signal);
    return undefined;
  } catch (failure) {
    signal.throwIfAborted();
    if (failure instanceof AgentError) return failure;
    throw failure;
  }
}

type Placed = { readonly subject: Subject; readonly places: readonly ZfsPlace[] };

async function placed(
  subjects: readonly Subject[],
  root: string | undefined,
  holdings: ZfsHoldings,
  zfs: Zfs,
  signal: AbortSignal,
): Promise<readonly Placed[]> {
  const listings = new Map<string, readonly Dataset[]>();
  const found: Placed[] = [];
  for (const subject of subjects) {
    try {
      const top = rootOf(subject, root);
      const listing = listings.get(top) ?? (await zfs.datasets(top, signal));
      listings.set(top, listing);
      found.push({ subject, places: placesOf(subject, top, listing) });
    } catch (failure) {
      signal.throwIfAborted();
      if (!(failure instanceof AgentError)) throw failure;
      holdings.set(subjectId(subject), { failure });
    }
  }
  return found;
}

function zpoolOf({ places }: Placed): string | undefined {
  return places[0]?.dataset.name.split("/")[0];
}

function vanished(failure: AgentError | undefined): boolean {
  return failure?.message.includes("does not exist") ?? false;
}
