import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { DaemonFacts, type Generation, type LabDaemon, openLab } from "./lab.ts";

const run = promisify(execFile);
const CLUSTER = join(import.meta.dirname, "../../lab/cluster");

/** The members of the lab's cluster. The database is with `one`, so that the cluster outlives `two`. */
export type MemberName = "one" | "two";

/** A real cluster of two members, made for a test; `close()` ends it with all that is in it. */
export type LabCluster = {
  /** Each of them, to be asked for the whole cluster. */
  readonly members: Readonly<Record<MemberName, LabDaemon>>;
  /** Kills the daemon of `two`, as a crash would. The other one takes some time to notice. */
  crashTwo(): Promise<void>;
  /** Has `two` count as offline at once, as the cluster would see to after 20 s without a word of it. */
  noticeTwo(): Promise<void>;
  /** Starts what was killed, and has it count as online. */
  revive(): Promise<void>;
  close(): Promise<void>;
};

/** Brings the cluster of a generation up beside the lab's hosts. To a test it is the source, or the target. */
export async function openCluster(generation: Generation, side: LabDaemon["side"]): Promise<LabCluster> {
  const lab = openLab().directory;
  const env = { ...process.env, IAB_LAB_DIR: lab };
  const up = async () => {
    const { stdout } = await run(CLUSTER, ["up", generation], { env });
    return z.tuple([DaemonFacts, DaemonFacts]).parse(JSON.parse(stdout));
  };
  // One that a test was killed with may still be there.
  await run(CLUSTER, ["down", generation], { env });
  const [one, two] = await up();
  return {
    members: { one: { ...one, generation, side, lab }, two: { ...two, generation, side, lab } },
    async crashTwo() {
      process.kill(Number(await readFile(join(lab, "state", `${generation}-two`, "daemon"), "utf8")), "SIGKILL");
    },
    noticeTwo: () => lastHeardOfTwo(one, new Date(0)),
    async revive() {
      await up();
      await lastHeardOfTwo(one, new Date());
    },
    close: async () => void (await run(CLUSTER, ["down", generation], { env })),
  };
}

/** What the cluster takes a member to be goes by when it was last heard of. */
async function lastHeardOfTwo({ client }: Pick<LabDaemon, "client">, at: Date): Promise<void> {
  await run(client, [
    "admin",
    "sql",
    "global",
    `UPDATE nodes SET heartbeat = '${at.toISOString()}' WHERE name = 'two'`,
  ]);
}
