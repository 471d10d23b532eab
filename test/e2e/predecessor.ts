import { generateKeyPair } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import forge from "node-forge";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import { begin, call } from "../lab/daemon-api.ts";
import type { LabDaemon } from "../lab/lab.ts";

// What IAB 1.2.0 leaves behind, as it was seen to do on Incus 6.0.4 and 7.0.2.

/** Credentials as its onboarding makes them: RSA of 4096 bits in PKCS #1, and one file for each host, without the port. */
export async function writeCredentials(folder: string, daemons: readonly LabDaemon[]): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: 4096,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const certificate = certificateOf(privateKey);
  await mkdir(join(folder, "servers"), { recursive: true, mode: 0o700 });
  const files = [
    ["iab_client.crt", certificate],
    ["iab_client.key", privateKey],
    ...(await Promise.all(
      daemons.map(async ({ url, certificate: path }) => [
        `servers/${new URL(url).hostname}.pem`,
        await readFile(path, "utf8"),
      ]),
    )),
  ];
  for (const [name = "", text = ""] of files) await writeFile(join(folder, name), text, { mode: 0o600 });
  return certificate;
}

/** Without basic constraints, and with the nanoseconds of its making for a number. */
function certificateOf(privateKey: string): string {
  const key = forge.pki.privateKeyFromPem(privateKey);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.rsa.setPublicKey(key.n, key.e);
  certificate.serialNumber = (BigInt(Date.now()) * 1_000_000n).toString(16);
  certificate.validity.notBefore = new Date(Date.now() - 300_000);
  certificate.validity.notAfter.setFullYear(certificate.validity.notBefore.getFullYear() + 5);
  const name = [{ name: "commonName", value: "incusAutobackup" }];
  certificate.setSubject(name);
  certificate.setIssuer(name);
  certificate.setExtensions([
    { name: "keyUsage", critical: true, digitalSignature: true, keyEncipherment: true },
    { name: "extKeyUsage", clientAuth: true },
  ]);
  certificate.sign(key, forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate).replaceAll("\r\n", "\n");
}

/** The name that it gives a snapshot: the time on the clock of its machine. */
export function localName(at: Date, timeZone: string): string {
  const digits = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" }).format(at);
  return `IAB_${digits.replaceAll(/[-:]/g, "").replace(" ", "-")}`;
}

const Config = z.record(z.string(), z.string());
const Instance = z.object({
  architecture: z.string(),
  type: z.string(),
  config: Config,
  devices: z.record(z.string(), Config),
  ephemeral: z.boolean(),
  profiles: z.array(z.string()),
  description: z.string(),
});
const Volume = z.object({ type: z.string(), config: Config, description: z.string(), content_type: z.string() });
const Started = z.object({ id: z.string(), metadata: z.object({ control: z.string(), fs: z.string() }) });

export type Servers = { readonly source: LabDaemon; readonly target: LabDaemon };

/** Its copy, by pull: a refresh that leaves nothing older out, with the whole configuration of the source. */
export async function copyAsPredecessor(servers: Servers, unit: Unit, pool: string, without: readonly string[] = []) {
  const { source, target } = servers;
  const project = `?project=${unit.project}`;
  const path = pathOf(unit);
  const found = await call(source, "GET", path + project);
  const offer = { migration: true, ...(unit.kind === "volume" ? { name: unit.name, pool: unit.pool } : {}) };
  const { id, metadata } = Started.parse(await begin(source, "POST", path + project, offer));
  const from = {
    type: "migration",
    mode: "pull",
    operation: `${source.url}/1.0/operations/${id}`,
    certificate: await readFile(source.certificate, "utf8"),
    secrets: metadata,
    refresh: true,
  };
  if (unit.kind === "volume") {
    const { name, pool: sourcePool } = unit;
    const body = { name, ...Volume.parse(found), source: { ...from, name, pool: sourcePool } };
    await call(target, "POST", `/1.0/storage-pools/${pool}/volumes/custom${project}`, body);
    return;
  }
  const { devices, ...more } = Instance.parse(found);
  const kept = Object.entries(devices).filter(([name]) => !without.includes(name));
  const root = { ...devices["root"], type: "disk", path: "/", pool };
  const source_ = { ...from, "base-image": more.config["volatile.base_image"] };
  const body = { name: unit.name, ...more, devices: { ...Object.fromEntries(kept), root }, source: source_ };
  await call(target, "POST", `/1.0/instances${project}`, body);
}

function pathOf(unit: Unit): string {
  if (unit.kind === "instance") return `/1.0/instances/${unit.name}`;
  return `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}`;
}
