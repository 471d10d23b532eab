import { unitLabel } from "../model/unit.ts";
import type { Comparison } from "./compare-snapshots.ts";
import { freshHint, type Refusal } from "./judge-replica.ts";
import type { Pair } from "./pair-up.ts";
import type { StoragePair } from "./storage-pair.ts";

/** Whether a refresh can send what the target lacks together with this run's snapshot, or only before it is taken. */
export type SendingOrder = "at once" | "before the snapshot" | Refusal;

/**
 * Incus's btrfs driver sends the oldest snapshot that the target lacks on top of the one before it by name, not by age
 * (6.0.4 and 7.0.2 alike). Where the target lacks that one too, the transfer fails, and will for ever: as after a person
 * has taken `snap0`, which this run's `IAB_…` comes before.
 */
export function sendingOrder(
  pair: Pair,
  { common, sends }: Comparison,
  storage: StoragePair,
  run: string,
): SendingOrder {
  const [oldest] = sends;
  if (storage.source !== "btrfs" || storage.target !== "btrfs" || oldest === undefined) return "at once";
  const onTarget = new Set(common.map(({ name }) => name));
  const names = pair.source.snapshots.map(({ name }) => name);
  const isSendable = (all: readonly string[]) => {
    const parent = nameBefore(oldest.name, all);
    return parent === undefined || onTarget.has(parent);
  };
  if (isSendable([...names, run])) return "at once";
  if (isSendable(names)) return "before the snapshot";
  const parent = nameBefore(oldest.name, names);
  return {
    why: `btrfs would send ${oldest.name} on top of ${parent}, the one before it by name, which its replica lacks too`,
    hint: `${freshHint(pair)}. Or delete ${parent} of ${unitLabel(pair.job.source)} on the source`,
  };
}

function nameBefore(name: string, names: readonly string[]): string | undefined {
  return names
    .filter((each) => each < name)
    .reduce<string | undefined>((last, each) => (last !== undefined && last > each ? last : each), undefined);
}
