import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { build } from "esbuild";
import { z } from "zod";
import type { Copy } from "../src/model/copy.ts";

export type Host = { readonly host: string; readonly url: string; readonly pin: string };
export type RelayWork = {
  readonly certificate: string;
  readonly key: string;
  readonly source: Host;
  readonly target: Host;
  readonly copy: Copy;
};

const Measured = z.object({ bytes: z.number(), durationMs: z.number(), peakBytes: z.number() });
export type Measured = z.infer<typeof Measured>;

const REQUIRE = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

/** A copy in a process of its own. */
export type RelayProcess = {
  /** Resolves when the first bytes have passed. */
  readonly underWay: Promise<void>;
  readonly measured: Promise<Measured>;
  /** Ends it as a crash would. */
  kill(): void;
};

/** Starts one copy in a process of its own, bundled as the program is. */
export async function startRelayProcess(work: RelayWork): Promise<RelayProcess> {
  const folder = await mkdtemp(join(tmpdir(), "iab-relay-"));
  const outfile = join(folder, "relay-once.mjs");
  const entry = join(import.meta.dirname, "relay-once.ts");
  const options = { bundle: true, platform: "node", format: "esm", target: "node20.19" } as const;
  await build({ entryPoints: [entry], outfile, ...options, banner: { js: REQUIRE }, logLevel: "warning" });
  const child = spawn(process.execPath, [outfile], { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(JSON.stringify(work));
  return {
    underWay: once(child.stderr, "data").then(() => {}),
    measured: measure(child).finally(() => rm(folder, { recursive: true, force: true })),
    kill: () => child.kill("SIGKILL"),
  };
}

async function measure(child: ChildProcessByStdio<Writable, Readable, Readable>): Promise<Measured> {
  const [output, errors, [exitCode]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  if (exitCode !== 0) throw new Error(`The copy failed: ${errors}`);
  return Measured.parse(JSON.parse(output));
}

/** Runs one copy in a process of its own, so that its memory is its own too. */
export async function relayInProcess(work: RelayWork): Promise<Measured> {
  return (await startRelayProcess(work)).measured;
}
