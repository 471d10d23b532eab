import { X509Certificate } from "node:crypto";
import { AgentError } from "../model/errors.ts";
import type { EpochMs } from "../model/time.ts";

/** From when until when a certificate is valid. */
export function certificateSpan(pem: string, whose: string): { readonly from: EpochMs; readonly until: EpochMs } {
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    return { from: Date.parse(validFrom), until: Date.parse(validTo) };
  } catch (cause) {
    throw new AgentError("credentials.unusable", `Cannot read the certificate of ${whose}`, { cause });
  }
}
