import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** Runs one copy in a process of its own, bundled as the program is, so that its memory is its own too. */
export async function relayInProcess(work: RelayWork): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), "iab-relay-"));
  try {
    const outfile = join(folder, "relay-once.mjs");
    const entry = join(import.meta.dirname, "relay-once.ts");
    const options = { bundle: true, platform: "node", format: "esm", target: "node20.19" } as const;
    await build({ entryPoints: [entry], outfile, ...options, banner: { js: REQUIRE }, logLevel: "warning" });
    const child = spawn(process.execPath, [outfile], { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.end(JSON.stringify(work));
    const [output, errors, [exitCode]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit"),
    ]);
    if (exitCode !== 0) throw new Error(`The copy failed: ${errors}`);
    return Measured.parse(JSON.parse(output));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
