import { readFileSync } from "node:fs";
import { onTestFinished } from "vitest";
import { type IncusServer, openServer, type ServerOptions } from "../../src/incus/server.ts";
import { HOUR_MS } from "../../src/model/time.ts";
import { systemClock } from "../../src/system/clock.ts";
import { makeCertificate, type TestCertificate } from "../incus/certificates.ts";
import { credentialsOf } from "../incus/local-server.ts";
import type { LabDaemon } from "../lab/lab.ts";
import { removeTrust, trustCertificate } from "../lab/trust.ts";

/** A server of the lab that trusts a new client of ours, confined to the projects if any are named. */
export async function openTrusted(
  daemon: LabDaemon,
  projects?: readonly string[],
  options: Partial<ServerOptions> = {},
): Promise<IncusServer> {
  const client = makeCertificate({ name: "iab-client-test" });
  await trustCertificate(daemon, client.certificate, { name: "iab-client-test", ...(projects ? { projects } : {}) });
  onTestFinished(() => removeTrust(daemon, client.certificate));
  return openAs(daemon, client, options);
}

/** A server of the lab, whether or not it trusts the client. */
export function openAs(daemon: LabDaemon, client: TestCertificate, options: Partial<ServerOptions> = {}): IncusServer {
  const credentials = credentialsOf(client, pinOf(daemon));
  const common = { host: daemon.side, url: daemon.url, clock: systemClock, operationTimeoutMs: HOUR_MS };
  const server = openServer({ ...common, credentials, ...options });
  onTestFinished(() => server.close());
  return server;
}

/** The certificate that the daemon shows, as PEM. */
export function pinOf(daemon: LabDaemon): string {
  return readFileSync(daemon.certificate, "utf8");
}
