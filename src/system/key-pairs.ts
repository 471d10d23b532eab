import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import { Secret } from "../model/secret.ts";
import type { KeyPairs } from "../model/trust-ports.ts";

// What Incus and every TLS library accept, and as strong as the AES-128 that it is used with.
const MODULUS_BITS = 3072;

/** Keys from the operating system's randomness. */
export const keyPairs: KeyPairs = {
  async generate() {
    const pair = await promisify(generateKeyPair)("rsa", {
      modulusLength: MODULUS_BITS,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    return { publicKey: pair.publicKey, privateKey: new Secret(pair.privateKey) };
  },
};
