import { text } from "node:stream/consumers";
import { z } from "zod";
import { openServers } from "../src/incus/servers.ts";
import type { Copy } from "../src/model/copy.ts";
import { Secret } from "../src/model/secret.ts";
import { systemClock } from "../src/system/clock.ts";

const Host = z.object({ host: z.string(), url: z.string(), pin: z.string() });
const Work = z.object({
  certificate: z.string(),
  key: z.string(),
  source: Host,
  target: Host,
  copy: z.custom<Copy>((value) => typeof value === "object"),
});

/**
 * One copy, described on stdin, in a process of its own: prints what it moved, how long it took, and its memory. Whoever
 * waits for it to be under way sees a dot on stderr now and then.
 */
const { certificate, key, source, target, copy } = Work.parse(JSON.parse(await text(process.stdin)));
const options = ({ host, url, pin }: z.infer<typeof Host>) => {
  const credentials = { certificate, key: new Secret(key), pin };
  return { host, url, credentials, clock: systemClock, operationTimeoutMs: 60_000 };
};
const servers = openServers({
  source: options(source),
  target: options(target),
  clock: systemClock,
  bytesPerSecond: () => undefined,
});
const startedAt = performance.now();
const tell = () => process.stderr.write(".");
const { bytes } = await servers.copy(copy, tell, new AbortController().signal);
const durationMs = Math.round(performance.now() - startedAt);
await servers.close();
const peakBytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(`${JSON.stringify({ bytes, durationMs, peakBytes })}\n`);
