import { generateKeyPairSync } from "node:crypto";
import forge from "node-forge";

export type TestCertificate = { readonly certificate: string; readonly key: string };
export type CertificateOptions = {
  readonly name?: string;
  readonly issuer?: TestCertificate;
  readonly expired?: boolean;
};

const DAY_MS = 86_400_000;

/** A certificate for tests, with a key of its own: signed by itself, or by an issuer. */
export function makeCertificate({
  name = "localhost",
  issuer,
  expired = false,
}: CertificateOptions = {}): TestCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = `01${Math.floor(Math.random() * 0xffff_ffff)
    .toString(16)
    .padStart(8, "0")}`;
  const endsAt = Date.now() + (expired ? -DAY_MS : DAY_MS);
  certificate.validity.notBefore = new Date(endsAt - 30 * DAY_MS);
  certificate.validity.notAfter = new Date(endsAt);
  certificate.setSubject([{ name: "commonName", value: name }]);
  const issuing = issuer === undefined ? certificate : forge.pki.certificateFromPem(issuer.certificate);
  certificate.setIssuer(issuing.subject.attributes);
  certificate.setExtensions([
    { name: "basicConstraints", cA: issuer === undefined },
    {
      name: "subjectAltName",
      altNames: [
        { type: 2, value: name },
        { type: 7, ip: "127.0.0.1" },
      ],
    },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(issuer?.key ?? privateKey), forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate), key: privateKey };
}
