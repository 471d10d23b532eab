import { z } from "zod";
import { Secret, type SecretRef } from "../model/secret.ts";

/** Where a run that cannot begin is to be reported. */
export type Salvaged = { readonly healthchecksUrl: SecretRef | undefined; readonly gotifyUrl: SecretRef | undefined };

const Place = z.union([
  z.strictObject({ file: z.string() }).transform(({ file: path }) => ({ kind: "file", path }) as const),
  z.strictObject({ env: z.string() }).transform(({ env: name }) => ({ kind: "env", name }) as const),
  z
    .strictObject({ credential: z.string() })
    .transform(({ credential: name }) => ({ kind: "credential", name }) as const),
]);

/**
 * The notification addresses of a configuration that cannot be used, as far as they can be made out in its text: a
 * broken configuration is the failure that nobody would hear of otherwise.
 */
export function salvageNotices(text: string, of: "run" | "offsite"): Salvaged {
  const key = of === "run" ? "healthchecksUrl" : "healthchecks_url";
  return { healthchecksUrl: refIn(text, key), gotifyUrl: refIn(text, "gotifyUrl") };
}

function refIn(text: string, key: string): SecretRef | undefined {
  const literal = `"(?:[^"\\\\\\n]|\\\\.)*"`;
  const [, found] = new RegExp(`"${key}"\\s*:\\s*(${literal}|\\{[^{}]*\\})`, "i").exec(text) ?? [];
  const value = found === undefined ? undefined : parsed(found);
  if (typeof value !== "string") return Place.safeParse(value).data;
  const address = value.trim();
  const callable = URL.canParse(address) && /^https?:/i.test(address);
  return callable ? { kind: "value", secret: new Secret(address) } : undefined;
}

function parsed(literal: string): unknown {
  try {
    return JSON.parse(literal);
  } catch {
    // An escape that JSON does not know, or half an object: an address it never was.
    return undefined;
  }
}
