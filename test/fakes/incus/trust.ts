import { X509Certificate } from "node:crypto";
import { fingerprintOf } from "./certificate.ts";
import { NOT_AUTHORIZED, Refusal } from "./reply.ts";
import type { State } from "./state.ts";

/** Who sends a request, as far as the certificate of the connection tells. */
export type Caller = {
  /** The PEM that came with the handshake. */
  readonly certificate: string | undefined;
  readonly fingerprint: string | undefined;
  readonly trusted: boolean;
  readonly restricted: boolean;
  readonly projects: readonly string[];
};

const RESTRICTED = "Certificate is restricted";

export function callerOf(state: State, der: Buffer | undefined): Caller {
  const nobody = { certificate: undefined, fingerprint: undefined, trusted: false, restricted: false, projects: [] };
  if (der === undefined) return nobody;
  const x509 = new X509Certificate(der);
  const certificate = x509.toString();
  const fingerprint = fingerprintOf(certificate);
  const known = state.certificates.get(fingerprint);
  const now = Date.now();
  const valid = Date.parse(x509.validFrom) <= now && now <= Date.parse(x509.validTo);
  if (known === undefined || !valid) return { ...nobody, certificate, fingerprint };
  return { certificate, fingerprint, trusted: true, restricted: known.restricted, projects: known.projects };
}

export function requireTrusted(caller: Caller): void {
  if (!caller.trusted) throw new Refusal(403, NOT_AUTHORIZED);
}

export function requireUnrestricted(caller: Caller): void {
  requireTrusted(caller);
  if (caller.restricted) throw new Refusal(403, RESTRICTED);
}

export function mayUse(caller: Caller, project: string): boolean {
  return !caller.restricted || caller.projects.includes(project);
}

/** In lists of all projects everybody sees what `default` lends to others. */
export function isListed(caller: Caller, project: string): boolean {
  return project === "default" || mayUse(caller, project);
}

/** Lets a request for a single object of a project pass, or says why not. */
export function requireProject(caller: Caller, state: State, project: string): void {
  if (!mayUse(caller, project)) throw new Refusal(403, `User does not have permission for project "${project}"`);
  if (!state.projects.has(project)) throw new Refusal(404, "Project not found");
}

/** What older servers answer who may not list the pools. */
export function refuseRestrictedPoolList(): Refusal {
  return new Refusal(500, RESTRICTED);
}
