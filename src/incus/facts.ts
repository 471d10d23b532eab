import { z } from "zod";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { InstanceType, ServerFacts } from "../model/state.ts";
import type { EpochMs } from "../model/time.ts";
import { readMetadata } from "./answer.ts";
import { capabilitiesOf, missingExtensions } from "./capabilities.ts";
import type { Connection } from "./connection.ts";

const Environment = z.object({
  server: z.string().default("incus"),
  server_name: z.string().default(""),
  server_version: z.string(),
  server_clustered: z.boolean().default(false),
  addresses: z.array(z.string()).nullish(),
  certificate: z.string(),
  certificate_fingerprint: z.string(),
  driver: z.string().default(""),
  storage_supported_drivers: z.array(z.object({ Name: z.string(), Version: z.string().default("") })).nullish(),
});

/** `GET /1.0`: to whom it does not trust a server tells its extensions at most (7.0.2 says null), and no more. */
const Root = z.object({
  auth: z.string(),
  auth_user_name: z.string().nullish(),
  auth_user_method: z.string().nullish(),
  api_extensions: z
    .array(z.string())
    .nullish()
    .transform((names) => names ?? []),
  environment: Environment.partial().nullish(),
});
type Root = z.infer<typeof Root>;

const OwnCertificate = z.object({ restricted: z.boolean().default(false), projects: z.array(z.string()).nullish() });

const ROOT = { method: "GET", path: "/1.0" } as const;

/** Who a server is. A server that does not trust us, or is too old or none of Incus, is an error. */
export async function readFacts(connection: Connection, signal: AbortSignal): Promise<ServerFacts> {
  const asked = { host: connection.host, ...ROOT };
  const answer = await connection.request(ROOT, signal);
  const root = readMetadata(asked, answer, Root);
  if (root.auth !== "trusted") throw untrusted(connection);
  const { environment } = readMetadata(asked, answer, z.object({ environment: Environment }));
  checkKind(connection, environment.server, environment.server_version, root.api_extensions);
  return {
    host: connection.host,
    serverName: environment.server_name,
    version: environment.server_version,
    driverVersions: Object.fromEntries(
      (environment.storage_supported_drivers ?? []).map(({ Name, Version }) => [Name, Version]),
    ),
    addresses: addressesOf(connection.url, environment.addresses ?? []),
    certificate: environment.certificate,
    fingerprint: environment.certificate_fingerprint,
    clustered: environment.server_clustered,
    restricted: await isRestricted(connection, root, signal),
    instanceTypes: instanceTypesOf(environment.driver),
    can: capabilitiesOf(environment.server_version, root.api_extensions),
  };
}

/** The server's time, by the date that every answer of HTTP bears. */
export async function readClock(connection: Connection, signal: AbortSignal): Promise<EpochMs | undefined> {
  const answer = await connection.request(ROOT, signal);
  const at = answer.kind === "sync" ? Date.parse(answer.date ?? "") : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}

/** Whether the server trusts the certificate that we show. */
export async function isTrusted(connection: Connection, signal: AbortSignal): Promise<boolean> {
  const answer = await connection.request(ROOT, signal);
  return readMetadata({ host: connection.host, ...ROOT }, answer, Root).auth === "trusted";
}

/**
 * A restricted certificate is trusted like another, and sees which one it is by its entry alone. Where there is no
 * entry, as with a CA that the server trusts or with another way to log in, nothing is known to be restricted.
 */
async function isRestricted(connection: Connection, root: Root, signal: AbortSignal): Promise<boolean> {
  if (root.auth_user_method !== "tls" || !root.auth_user_name) return false;
  const path = `/1.0/certificates/${encodeURIComponent(root.auth_user_name)}`;
  try {
    const answer = await connection.request({ method: "GET", path }, signal);
    return readMetadata({ host: connection.host, method: "GET", path }, answer, OwnCertificate).restricted;
  } catch (error) {
    if (error instanceof IncusRefusal && (error.status === 404 || error.status === 403)) return false;
    throw error;
  }
}

function checkKind(connection: Connection, server: string, version: string, extensions: readonly string[]): void {
  const missing = missingExtensions(extensions);
  if (server === "incus" && missing.length === 0) return;
  const why = server === "incus" ? `it lacks ${missing.join(", ")}` : "this is another program";
  throw new AgentError("incus.refused", `Cannot use ${connection.host}: it runs ${server} ${version}, and ${why}`, {
    hint: "Incus 6.0 LTS or newer is needed on both sides",
  });
}

function untrusted(connection: Connection): IncusRefusal {
  return new IncusRefusal(403, `${connection.host} (${connection.url}) does not trust the agent's certificate`, {
    hint: "Onboard again with a fresh token: the server's entry for the agent was removed, or never made",
  });
}

/** The address that works for us comes first, unless it is one that means something else on every machine. */
function addressesOf(url: string, addresses: readonly string[]): readonly string[] {
  const told = addresses.map((address) => `https://${address}`);
  const isOurs = /^https:\/\/(localhost|127\.|\[::1\])/.test(url) && !told.includes(url);
  return [...new Set(isOurs ? [...told, url] : [url, ...told])];
}

function instanceTypesOf(driver: string): readonly InstanceType[] {
  const drivers = driver.split(" | ");
  return [
    ...(drivers.includes("lxc") ? (["container"] as const) : []),
    ...(drivers.includes("qemu") ? (["virtual-machine"] as const) : []),
  ];
}
