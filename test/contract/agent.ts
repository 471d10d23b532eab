import { type IncusServer, openServer, type ServerOptions } from "../../src/incus/server.ts";
import { openServers } from "../../src/incus/servers.ts";
import type { Servers } from "../../src/model/ports.ts";
import { Secret } from "../../src/model/secret.ts";
import { MINUTE_MS } from "../../src/model/time.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Certificate } from "../fakes/incus/certificate.ts";

export type Where = { readonly url: string; readonly certificate: string };

/** The agent's client of one server. */
export function openAs(host: string, where: Where, client: Certificate): IncusServer {
  return openServer(optionsOf(host, where, client));
}

/** The agent's client of both servers, and the way between them. */
export function openBoth(source: Where, target: Where, client: Certificate): Servers {
  return openServers({
    source: optionsOf("source", source, client),
    target: optionsOf("target", target, client),
    clock: systemClock,
    bytesPerSecond: () => undefined,
  });
}

function optionsOf(host: string, where: Where, client: Certificate): ServerOptions {
  const credentials = { certificate: client.certificate, key: new Secret(client.key), pin: where.certificate };
  return { host, url: where.url, credentials, clock: systemClock, operationTimeoutMs: MINUTE_MS };
}
