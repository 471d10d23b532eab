import forge from "node-forge";
import { DAY_MS, type EpochMs } from "../model/time.ts";

const VALID_DAYS = 10 * 365;
// Servers whose clocks are a little behind must not find a certificate from the future.
const BACKDATED_MS = DAY_MS;

/** A self-signed client certificate for the key pair, as PEM: what a server keeps in its trust store. */
export function clientCertificate(
  keys: { publicKey: string; privateKey: string },
  now: EpochMs,
  serial: string,
): string {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(keys.publicKey);
  // A leading zero keeps the number positive, as X.509 wants it.
  certificate.serialNumber = `00${serial}`;
  certificate.validity.notBefore = new Date(now - BACKDATED_MS);
  certificate.validity.notAfter = new Date(now + VALID_DAYS * DAY_MS);
  const subject = [{ name: "commonName", value: "incus-autobackup" }];
  certificate.setSubject(subject);
  certificate.setIssuer(subject);
  certificate.setExtensions([
    { name: "keyUsage", critical: true, digitalSignature: true, keyEncipherment: true },
    { name: "extKeyUsage", clientAuth: true },
    { name: "basicConstraints", critical: true, cA: false },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(keys.privateKey), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}
