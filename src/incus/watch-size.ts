import { decodeHeader, FS_TYPES, isFailureMessage } from "./migration-header.ts";
import type { Frame } from "./relay-pump.ts";

/** What a relay overhears of how much will come. */
export type SizeWatch = {
  /** Takes note of a message of the target's on control. */
  note(frame: Frame): void;
  /** Known for block volumes that are sent block by block; undefined for all else. */
  totalBytes(): number | undefined;
};

/**
 * Hears from the target's first word what is sent to it: of a block volume on a pool without snapshots of its own, every
 * block of each snapshot it asks for, and of the head. Of other ways to send nobody says beforehand what they come to.
 */
export function watchSize(): SizeWatch {
  let isFirst = true;
  let totalBytes: number | undefined;
  return {
    note({ data }) {
      if (!isFirst || isFailureMessage(data)) return;
      isFirst = false;
      totalBytes = sizeIn(data);
    },
    totalBytes: () => totalBytes,
  };
}

function sizeIn(answer: Buffer): number | undefined {
  try {
    const { fsType, volumeSize, snapshotNames } = decodeHeader(answer);
    if (fsType !== FS_TYPES.blockAndRsync || volumeSize === 0) return undefined;
    return volumeSize * (snapshotNames.length + 1);
  } catch {
    // What the servers say to each other is theirs: a mirror passes on what it cannot read.
    return undefined;
  }
}
