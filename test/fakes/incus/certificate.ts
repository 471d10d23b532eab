import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import forge from "node-forge";

/** A certificate and its key, as PEM, with the fingerprint that Incus names it by. */
export type Certificate = { readonly certificate: string; readonly key: string; readonly fingerprint: string };

type CertificateOptions = {
  readonly commonName?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Who signs it; without one it signs itself, as Incus's own do. */
  readonly issuer?: Certificate;
  readonly isAuthority?: boolean;
};

const { asn1 } = forge;
const YEAR_MS = 365 * 24 * 3600 * 1000;
const ECDSA_SHA384 = "1.2.840.10045.4.3.3";
const COMMON_NAME = "2.5.4.3";
const SUBJECT_ALT_NAME = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";

/** Makes an EC P-384 certificate as Incus does: for localhost only, so that pinning is the one way to trust it. */
export function makeCertificate(options: CertificateOptions = {}): Certificate {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const body = toBeSigned(options, keys.publicKey);
  const signature = sign("sha384", der(body), options.issuer?.key ?? key);
  const whole = sequence(body, algorithm(), primitive(asn1.Type.BITSTRING, `\0${signature.toString("binary")}`));
  const certificate = new X509Certificate(der(whole)).toString();
  return { certificate, key, fingerprint: fingerprintOf(certificate) };
}

/** The lower-case hex SHA-256 of a certificate's DER. */
export function fingerprintOf(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
}

function toBeSigned(options: CertificateOptions, publicKey: KeyObject): forge.asn1.Asn1 {
  const name = options.commonName ?? "incus";
  const notBefore = options.notBefore ?? new Date(Date.now() - 3600_000);
  const notAfter = options.notAfter ?? new Date(notBefore.getTime() + 10 * YEAR_MS);
  const issuer = options.issuer === undefined ? name : commonNameOf(options.issuer);
  const spki = asn1.fromDer(publicKey.export({ type: "spki", format: "der" }).toString("binary"));
  return sequence(
    tagged(0, primitive(asn1.Type.INTEGER, "\x02")),
    primitive(asn1.Type.INTEGER, `\x01${randomBytes(15).toString("binary")}`),
    algorithm(),
    nameOf(issuer),
    sequence(generalizedTime(notBefore), generalizedTime(notAfter)),
    nameOf(name),
    spki,
    tagged(3, sequence(altNames(name), basicConstraints(options.isAuthority ?? false))),
  );
}

function commonNameOf(certificate: Certificate): string {
  return /CN=(.*)/.exec(new X509Certificate(certificate.certificate).subject)?.[1] ?? "";
}

function altNames(name: string): forge.asn1.Asn1 {
  const names = sequence(
    context(2, name),
    context(7, Buffer.from([127, 0, 0, 1]).toString("binary")),
    context(7, Buffer.from([...Array<number>(15).fill(0), 1]).toString("binary")),
  );
  return sequence(oid(SUBJECT_ALT_NAME), primitive(asn1.Type.OCTETSTRING, asn1.toDer(names).getBytes()));
}

function basicConstraints(isAuthority: boolean): forge.asn1.Asn1 {
  const value = isAuthority ? sequence(primitive(asn1.Type.BOOLEAN, "\xff")) : sequence();
  return sequence(
    oid(BASIC_CONSTRAINTS),
    primitive(asn1.Type.BOOLEAN, "\xff"),
    primitive(asn1.Type.OCTETSTRING, asn1.toDer(value).getBytes()),
  );
}

function nameOf(commonName: string): forge.asn1.Asn1 {
  const pair = sequence(oid(COMMON_NAME), primitive(asn1.Type.UTF8, commonName));
  return sequence(asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SET, true, [pair]));
}

function algorithm(): forge.asn1.Asn1 {
  return sequence(oid(ECDSA_SHA384));
}

function generalizedTime(at: Date): forge.asn1.Asn1 {
  return primitive(asn1.Type.GENERALIZEDTIME, `${at.toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`);
}

function sequence(...parts: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, parts);
}

function oid(text: string): forge.asn1.Asn1 {
  return primitive(asn1.Type.OID, asn1.oidToDer(text).getBytes());
}

function primitive(type: forge.asn1.Type, bytes: string): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, type, false, bytes);
}

function context(tag: number, bytes: string): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.CONTEXT_SPECIFIC, tag, false, bytes);
}

function tagged(tag: number, part: forge.asn1.Asn1): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.CONTEXT_SPECIFIC, tag, true, [part]);
}

function der(value: forge.asn1.Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), "binary");
}
