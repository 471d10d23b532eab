import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { z } from "zod";
import type { Processes } from "../../src/model/ports.ts";
import { systemProcesses } from "../../src/system/processes.ts";
import type { LabDaemon } from "../lab/lab.ts";
import type { HolderOrders } from "./storage-holder.ts";

const run = promisify(execFile);

/** Mounts a btrfs pool of a daemon where this machine sees it, beside the daemon's own mount. */
export async function mountPool(daemon: LabDaemon, pool: string): Promise<{ folder: string; close(): Promise<void> }> {
  const there = join(daemon.incusDir, "storage-pools", pool);
  const mounts = await readFile(`/proc/${daemon.keeperPid}/mountinfo`, "utf8");
  const line = mounts.split("\n").find((each) => each.split(" ")[4] === there);
  const device = line?.split(" - ")[1]?.split(" ")[1];
  if (device === undefined) throw new Error(`Pool ${pool} is not mounted at ${there}`);
  const folder = await mkdtemp(join(tmpdir(), "iab-pool-"));
  await run("mount", ["-t", "btrfs", "-o", "user_subvol_rm_allowed", device, folder]);
  const close = async () => {
    await run("umount", [folder]);
    await rm(folder, { recursive: true });
  };
  return { folder, close };
}

/** The btrfs program that a daemon of the lab has: the machine itself need not have one. */
export function btrfsOf({ keeperPid }: LabDaemon): readonly string[] {
  const root = `/proc/${keeperPid}/root/usr`;
  return [`${root}/lib64/ld-linux-x86-64.so.2`, "--library-path", `${root}/lib/x86_64-linux-gnu`, `${root}/bin/btrfs`];
}

/** The programs of this machine, but for btrfs. */
export function processesOf(daemon: LabDaemon): Processes {
  const programs = systemProcesses();
  return {
    ...programs,
    run: ({ argv: [program = "", ...words], ...command }, signal) => {
      const argv = [...(program === "btrfs" ? btrfsOf(daemon) : [program]), ...words];
      return programs.run({ ...command, argv }, signal);
    },
  };
}

const Ended = z.object({ swept: z.array(z.string()), first: z.number(), effects: z.number() });
export type Holder = {
  readonly path: string;
  /** What it reports; undefined where it was killed. */
  run(orders: HolderOrders, environment?: Readonly<Record<string, string>>): Promise<z.infer<typeof Ended> | undefined>;
};

/** Builds the program that holds, and can be killed. */
export async function buildHolder(folder: string): Promise<Holder> {
  const path = join(folder, "storage-holder.mjs");
  await build({
    entryPoints: [join(import.meta.dirname, "storage-holder.ts")],
    outfile: path,
    bundle: true,
    platform: "node",
    format: "esm",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "warning",
  });
  return {
    path,
    run: async (orders, environment = {}) => {
      const env = { ...process.env, ...environment };
      try {
        const { stdout } = await run(process.execPath, [path, JSON.stringify(orders)], { env });
        return Ended.parse(JSON.parse(stdout));
      } catch (error) {
        if (error instanceof Error && "signal" in error && error.signal === "SIGKILL") return undefined;
        throw error;
      }
    },
  };
}

/** So many points at which a holder may be killed, from its first effect after the sweep to its last. */
export function pointsOf(
  { first, effects }: { readonly first: number; readonly effects: number },
  count: number,
): number[] {
  const all = 2 * (effects - first);
  return Array.from({ length: count }, (_, index) => 2 * first + Math.floor((index * all) / count));
}
