import { AgentError } from "../model/errors.ts";
import type { Files } from "../model/ports.ts";
import { Secret } from "../model/secret.ts";
import type { ClientIdentity } from "../model/trust-ports.ts";

/** What is needed to speak to one server: who the agent is, and the certificate the server must show. */
export type ServerCredentials = { readonly identity: ClientIdentity; readonly pin: string };

/** The files of a credentials folder. The two of the agent are named as IAB 1.2.0 names them. */
function credentialPaths(folder: string): { readonly certificate: string; readonly key: string } {
  return { certificate: `${folder}/iab_client.crt`, key: `${folder}/iab_client.key` };
}

/** Where the agent's key is kept. */
export function keyPath(folder: string): string {
  return credentialPaths(folder).key;
}

/** Where a server's pinned certificate is kept: by host and port, so that two servers on one host stay apart. */
export function pinPath(folder: string, url: string): string {
  const { port } = new URL(url);
  return `${folder}/servers/${hostPart(url)}_${port || "443"}.pem`;
}

/** Where IAB 1.2.0 keeps it: by host alone. */
function oldPinPath(folder: string, url: string): string {
  return `${folder}/servers/${hostPart(url)}.pem`;
}

/** Reads what is needed to speak to a server, by our own file name or by that of IAB 1.2.0. */
export async function readCredentials(
  folder: string,
  url: string,
  files: Files,
  signal: AbortSignal,
): Promise<ServerCredentials> {
  const identity = await readIdentity(folder, files, signal);
  if (identity === undefined) {
    throw new AgentError("credentials.unusable", `Cannot find the agent's certificate and key in ${folder}`, {
      hint: "Run `iab onboard`, or set iab.iabCredDir to the folder that it wrote",
    });
  }
  const pin = await readPin(folder, url, files, signal);
  if (pin !== undefined) return { identity, pin };
  throw new AgentError("credentials.unusable", `Cannot find the pinned certificate of ${url} in ${folder}/servers`, {
    hint: "Run `iab onboard` for this server again, or correct its url: it is part of the file's name",
  });
}

/** The pinned certificate of a server, by our own file name or by that of IAB 1.2.0; undefined if there is none. */
export async function readPin(
  folder: string,
  url: string,
  files: Files,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const path of [pinPath(folder, url), oldPinPath(folder, url)]) {
    if (await files.exists(path)) return pemIn(await files.read(path, signal), "CERTIFICATE", path);
  }
  return undefined;
}

/** The agent's certificate and key; undefined if neither is there yet. One without the other is an error. */
export async function readIdentity(
  folder: string,
  files: Files,
  signal: AbortSignal,
): Promise<ClientIdentity | undefined> {
  const paths = credentialPaths(folder);
  const [hasCertificate, hasKey] = await Promise.all([files.exists(paths.certificate), files.exists(paths.key)]);
  if (!hasCertificate && !hasKey) return undefined;
  if (!hasCertificate || !hasKey) {
    const [there, missing] = hasKey ? [paths.key, paths.certificate] : [paths.certificate, paths.key];
    throw new AgentError("credentials.unusable", `Cannot use ${there}: ${missing} is missing`, {
      hint: "Bring the missing file back, or move the other one away and run `iab onboard` again",
    });
  }
  return {
    certificate: pemIn(await files.read(paths.certificate, signal), "CERTIFICATE", paths.certificate),
    key: new Secret(pemIn(await files.read(paths.key, signal), "PRIVATE KEY", paths.key)),
  };
}

/** Keeps a new identity: the key first, so that a certificate never stands there alone for long. */
export async function writeIdentity(folder: string, identity: ClientIdentity, files: Files): Promise<void> {
  const paths = credentialPaths(folder);
  await files.privateFolder(folder);
  await files.writePrivate(paths.key, identity.key.reveal());
  await files.writePrivate(paths.certificate, identity.certificate);
}

// As IAB 1.2.0 does it: the host without brackets, and nothing in it that a file name cannot bear.
function hostPart(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, "").replaceAll(/[:/]/g, "_");
}

function pemIn(text: string, kind: string, path: string): string {
  if (text.includes("-----BEGIN ") && text.includes(`${kind}-----`)) return text;
  throw new AgentError("credentials.unusable", `Cannot use ${path}: there is no PEM ${kind.toLowerCase()} in it`);
}
