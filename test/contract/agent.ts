import { openCopier } from "../../src/incus/copy.ts";
import { type IncusServer, openServer } from "../../src/incus/server.ts";
import type { Servers } from "../../src/model/ports.ts";
import { Secret } from "../../src/model/secret.ts";
import { MINUTE_MS } from "../../src/model/time.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Certificate } from "../fakes/incus/certificate.ts";

export type Where = { readonly url: string; readonly certificate: string };

/** The agent's client of one server. */
export function openAs(host: string, where: Where, client: Certificate): IncusServer {
  const credentials = { certificate: client.certificate, key: new Secret(client.key), pin: where.certificate };
  return openServer({ host, url: where.url, credentials, clock: systemClock, operationTimeoutMs: MINUTE_MS });
}

/** The agent's client of both servers, and the way between them. */
export function openBoth(source: Where, target: Where, client: Certificate): Servers {
  const ends = { source: openAs("source", source, client), target: openAs("target", target, client) };
  const copy = openCopier(ends, { clock: systemClock, bytesPerSecond: () => undefined });
  const close = async (): Promise<void> => {
    await Promise.all([ends.source.close(), ends.target.close()]);
  };
  return { ...ends, copy, close };
}
