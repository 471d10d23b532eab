import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { btrfsOf, mountPool } from "../contract/storage-lab.ts";
import type { LabDaemon } from "../lab/lab.ts";

/** What an agent needs to read a daemon's btrfs pool itself. */
export type BtrfsPool = {
  /** Where it sees the pool. */
  readonly root: string;
  /** The path with the btrfs program of the daemon: the machine itself need not have one. */
  readonly path: string;
  close(): Promise<void>;
};

export async function openBtrfsPool(daemon: LabDaemon, pool: string): Promise<BtrfsPool> {
  const mounted = await mountPool(daemon, pool);
  const programs = mkdtempSync(join(tmpdir(), "iab-programs-"));
  const file = join(programs, "btrfs");
  writeFileSync(file, `#!/bin/sh\nexec ${btrfsOf(daemon).join(" ")} "$@"\n`);
  chmodSync(file, 0o755);
  return {
    root: mounted.folder,
    path: `${programs}:${process.env["PATH"]}`,
    close: async () => {
      await mounted.close();
      rmSync(programs, { recursive: true });
    },
  };
}
