import { Secret } from "../model/secret.ts";

/** Where a run that cannot begin is to be reported. */
export type Notices = { readonly healthchecksUrl: Secret | undefined; readonly gotifyUrl: Secret | undefined };

/**
 * The notification addresses of a configuration that cannot be used, as far as they can be made out in its text: a
 * broken configuration is the failure that nobody would hear of otherwise.
 */
export function salvageNotices(text: string, of: "run" | "offsite"): Notices {
  const key = of === "run" ? "healthchecksUrl" : "healthchecks_url";
  return { healthchecksUrl: addressOf(text, key), gotifyUrl: addressOf(text, "gotifyUrl") };
}

function addressOf(text: string, key: string): Secret | undefined {
  const [, literal] = new RegExp(`"${key}"\\s*:\\s*("(?:[^"\\\\\\n]|\\\\.)*")`, "i").exec(text) ?? [];
  if (literal === undefined) return undefined;
  try {
    const address = String(JSON.parse(literal)).trim();
    return URL.canParse(address) && /^https?:/i.test(address) ? new Secret(address) : undefined;
  } catch {
    // An escape that JSON does not know: the address was never one.
    return undefined;
  }
}
