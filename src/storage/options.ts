import type { Clock, Disks, Files, Processes } from "../model/ports.ts";

/** What the readers of this room are made with. */
export type StorageOptions = {
  /** Where the storage is on this machine, where it is not where Incus has it. */
  readonly root: string | undefined;
  readonly files: Files;
  readonly disks: Disks;
  readonly processes: Processes;
  readonly clock: Clock;
};
